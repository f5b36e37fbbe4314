/* SPDX-License-Identifier: MIT
 * One line an event file of events/: read by event_files.S, which compiles the texts in, and by event_catalog.c, which parses
 * them. */
EVENT_FILE(amd_zen1, "amd_zen1.txt")
EVENT_FILE(amd_zen2, "amd_zen2.txt")
EVENT_FILE(amd_zen3, "amd_zen3.txt")
EVENT_FILE(amd_zen4, "amd_zen4.txt")
EVENT_FILE(amd_zen5, "amd_zen5.txt")
EVENT_FILE(arm_neoverse_n1, "arm_neoverse_n1.txt")
EVENT_FILE(arm_neoverse_v1, "arm_neoverse_v1.txt")
EVENT_FILE(arm_neoverse_v2, "arm_neoverse_v2.txt")
EVENT_FILE(intel_granite_rapids, "intel_granite_rapids.txt")
EVENT_FILE(intel_hybrid, "intel_hybrid.txt")
EVENT_FILE(intel_ice_lake, "intel_ice_lake.txt")
EVENT_FILE(intel_ice_lake_sp, "intel_ice_lake_sp.txt")
EVENT_FILE(intel_sapphire_rapids, "intel_sapphire_rapids.txt")
EVENT_FILE(intel_skylake, "intel_skylake.txt")
EVENT_FILE(intel_skylake_x, "intel_skylake_x.txt")
EVENT_FILE(generic, "generic.txt")
