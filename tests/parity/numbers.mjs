// SPDX-License-Identifier: MIT
// How weights are stored, and seeded random numbers. store(type, values) gives the bytes as a file holds them; the values that
// those bytes mean are put back in place, so that the truth is computed from exactly what a reader can see.

const TINY_EXPONENT = -14; // of half precision: below it the step stays that of 2^-14

const roundToEven = (x) => {
    const down = Math.floor(x);
    const rest = x - down;
    return rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
};

export function halfBits(x) {
    const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
    const size = Math.abs(x);
    const exponent = Math.max(TINY_EXPONENT, Math.floor(Math.log2(size)));
    const steps = roundToEven(size / 2 ** (exponent - 10)); // 1024..2048 for normal numbers: the carry adds up by itself
    if (size >= 65520) throw new Error(`${x} does not fit half precision`);
    return size === 0 ? sign : sign + (exponent - TINY_EXPONENT) * 1024 + steps;
}

export function halfValue(bits) {
    const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
    const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    return bits & 0x8000 ? -size : size;
}

// Typed arrays lie in memory as the machine has them, which is little-endian wherever node runs.
function storeF32(values) {
    const singles = Float32Array.from(values);
    values.set(singles);
    return Buffer.from(singles.buffer);
}

function storeF16(values) {
    const bytes = Buffer.alloc(values.length * 2);
    values.forEach((x, i) => {
        const bits = halfBits(x);
        bytes.writeUInt16LE(bits, i * 2);
        values[i] = halfValue(bits);
    });
    return bytes;
}

function storeBf16(values) {
    const bytes = Buffer.alloc(values.length * 2);
    const word = new DataView(new ArrayBuffer(4));
    values.forEach((x, i) => {
        word.setFloat32(0, x);
        const bits = roundToEven(word.getUint32(0) / 65536);
        bytes.writeUInt16LE(bits, i * 2);
        word.setUint32(0, bits * 65536);
        values[i] = word.getFloat32(0);
    });
    return bytes;
}

// 32 values share a half-precision scale in front of their signed bytes. Any whole numbers would do as a test of reading; these
// are the nearest.
function storeQ8(values) {
    const bytes = Buffer.alloc((values.length / 32) * 34);
    for (let at = 0, to = 0; at < values.length; at += 32, to += 34) {
        const block = values.subarray(at, at + 32);
        const bits = halfBits(Math.max(...block.map(Math.abs)) / 127);
        bytes.writeUInt16LE(bits, to);
        block.forEach((x, i) => {
            const q = Math.max(-127, Math.min(127, Math.round(x / halfValue(bits))));
            bytes.writeInt8(q, to + 2 + i);
            block[i] = q * halfValue(bits);
        });
    }
    return bytes;
}

const stores = { F32: storeF32, F16: storeF16, BF16: storeBf16, Q8_0: storeQ8 };
export const store = (type, values) => stores[type](values);

// mulberry32 and Box-Muller: normal deviates that depend on the seed alone.
export function normals(seed) {
    let state = seed >>> 0;
    const uniform = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(state ^ (state >>> 15), state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
}
