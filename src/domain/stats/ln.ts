/**
 * Our own ln, log1p and exp: `Math.log` and its kin may differ in the last bit between engines and machines, and a
 * decision must not. These use + - * / on doubles and reads of their bits, which ECMAScript defines exactly, so every
 * machine gets the same bits. Each is within 1 ulp of the true value.
 *
 * @see Sun Microsystems, fdlibm 5.3: e_log.c, s_log1p.c, e_exp.c ("Developed at SunPro ... Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice is preserved.")
 */
const view = new DataView(new ArrayBuffer(8));

/** Upper 32 bits (sign, exponent, top of the fraction) as a signed integer. Little-endian, which is free on the machines that there are. */
function highWord(x: number): number {
  view.setFloat64(0, x, true);
  return view.getInt32(4, true);
}

function withHighWord(x: number, high: number): number {
  view.setFloat64(0, x, true);
  view.setInt32(4, high, true);
  return view.getFloat64(0, true);
}

/** 2^k for the k that nearly every argument has: multiplying by it is exact, as setting the exponent's bits is, and several times as fast. */
const MOST_POWER = 128;
const powers = Float64Array.from({ length: 2 * MOST_POWER + 1 }, (_, i) => 2 ** (i - MOST_POWER));

const LN2_HIGH = 0.6931471803691238; // upper bits of ln 2: k * LN2_HIGH is exact for |k| < 2000
const LN2_LOW = 1.9082149292705877e-10;
const TWO_53 = 9007199254740992;
const TWO_54 = 18014398509481984;
const TWO_M29 = 1.862645149230957e-9;
/** Between these 1+x is in [sqrt(2)/2, sqrt(2)]: the doubles of high word 0xbfd2bec4 and 0x3fda827a. */
const UNSCALED_LOW = -0.2928934097290039;
const UNSCALED_HIGH = 0.4142136573791504;

// Minimax polynomial of (ln(1+f) - 2s)/s in z = s^2, s = f/(2+f).
const L1 = 0.6666666666666735;
const L2 = 0.3999999999940942;
const L3 = 0.2857142874366239;
const L4 = 0.22222198432149784;
const L5 = 0.1818357216161805;
const L6 = 0.15313837699209373;
const L7 = 0.14798198605116586;

/** ln(2^k (1+f)) for a tiny f, |f| < 2^-20; c corrects the rounding of 1+f. */
function nearPowerOfTwo(k: number, f: number, c: number): number {
  if (f === 0) return k === 0 ? 0 : k * LN2_HIGH + (c + k * LN2_LOW);
  const r = f * f * (0.5 - 0.3333333333333333 * f);
  return k === 0 ? f - r : k * LN2_HIGH - (r - (k * LN2_LOW + c) - f);
}

/**
 * Natural logarithm.
 *
 * @returns -Infinity for 0, NaN for negative numbers and NaN, Infinity for Infinity
 */
export function ln(x: number): number {
  if (x === 0) return Number.NEGATIVE_INFINITY;
  if (!(x > 0)) return Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  const subnormal = highWord(x) < 0x00100000;
  const scaled = subnormal ? x * TWO_54 : x;
  const high = highWord(scaled);
  const fraction = high & 0xfffff;
  // 1 when the fraction is above sqrt(2): then halve it, so that 1+f lies in [sqrt(2)/2, sqrt(2)].
  const carry = (fraction + 0x95f64) & 0x100000;
  const k = (subnormal ? -54 : 0) + (high >> 20) - 1023 + (carry >> 20);
  const f = (k >= -MOST_POWER && k <= MOST_POWER ? scaled * (powers[MOST_POWER - k] ?? Number.NaN) : withHighWord(scaled, fraction | (carry ^ 0x3ff00000))) - 1;
  if ((0xfffff & (2 + fraction)) < 3) return nearPowerOfTwo(k, f, 0);
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const r = z * (L1 + w * (L3 + w * (L5 + w * L7))) + w * (L2 + w * (L4 + w * L6));
  if (((fraction - 0x6147a) | (0x6b851 - fraction)) > 0) {
    const half = 0.5 * f * f;
    return k === 0 ? f - (half - s * (half + r)) : k * LN2_HIGH - (half - (s * (half + r) + k * LN2_LOW) - f);
  }
  return k === 0 ? f - s * (f - r) : k * LN2_HIGH - (s * (f - r) - k * LN2_LOW - f);
}

/**
 * ln(1 + x), also exact to 1 ulp where 1 + x would lose x's digits.
 *
 * @returns -Infinity for -1, NaN below -1 and for NaN, Infinity for Infinity
 */
export function log1p(x: number): number {
  // Most arguments need no scaling: then none of their bits has to be looked at, and the few operations are inlined where they are asked for.
  if (!(x > UNSCALED_LOW && x < UNSCALED_HIGH)) return scaledLog1p(x);
  if (x < TWO_M29 && x > -TWO_M29) return x - x * x * 0.5;
  const half = 0.5 * x * x;
  const s = x / (2 + x);
  const z = s * s;
  const r = z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * (L6 + z * L7))))));
  return x - (half - s * (half + r));
}

/** The rest of log1p: 1+x is scaled by a power of two first, and what its rounding dropped is kept in c. */
function scaledLog1p(x: number): number {
  if (!(x > -1)) return x === -1 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  const isExact = x >= TWO_53;
  const u = isExact ? x : 1 + x;
  const high = highWord(u);
  const exponent = (high >> 20) - 1023;
  const c = isExact ? 0 : (exponent > 0 ? 1 - (u - x) : x - (u - 1)) / u;
  const fraction = high & 0xfffff;
  const upper = fraction >= 0x6a09e;
  const k = upper ? exponent + 1 : exponent;
  const f = (k <= MOST_POWER ? u * (powers[MOST_POWER - k] ?? Number.NaN) : withHighWord(u, fraction | (upper ? 0x3fe00000 : 0x3ff00000))) - 1;
  if (fraction === 0 || fraction > 0xffffc) return nearPowerOfTwo(k, f, c);
  const half = 0.5 * f * f;
  const s = f / (2 + f);
  const z = s * s;
  const r = z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * (L6 + z * L7))))));
  return k === 0 ? f - (half - s * (half + r)) : k * LN2_HIGH - (half - (s * (half + r) + (k * LN2_LOW + c)) - f);
}

const INVERSE_LN2 = Math.LOG2E;
const OVERFLOW = 709.782712893384;
const UNDERFLOW = -745.1332191019411;
const TWO_M1000 = 9.332636185032189e-302;
const TWO_1023 = 8.98846567431158e307;

// Remez polynomial of r(e^r+1)/(e^r-1) in r^2.
const P1 = 0.16666666666666602;
const P2 = -0.0027777777777015593;
const P3 = 6.613756321437934e-5;
const P4 = -1.6533902205465252e-6;
const P5 = 4.1381367970572385e-8;

/** e to the power x. Infinity above 709.78, 0 below -745.13, NaN for NaN. */
export function exp(x: number): number {
  if (Number.isNaN(x)) return x;
  if (x > OVERFLOW) return Number.POSITIVE_INFINITY;
  if (x < UNDERFLOW) return 0;
  const size = Math.abs(x);
  if (size < 3.725290298461914e-9) return 1 + x; // 2^-28
  let k = 0;
  let high = x;
  let low = 0;
  if (size > 0.34657359027997264) {
    // Nearest multiple of ln 2; ties and the exact boundary do not matter, the polynomial covers both sides.
    k = size < 1.0397207708399179 ? (x < 0 ? -1 : 1) : Math.trunc(INVERSE_LN2 * x + (x < 0 ? -0.5 : 0.5));
    high = x - k * LN2_HIGH;
    low = k * LN2_LOW;
  }
  const r = high - low;
  const t = r * r;
  const c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
  if (k === 0) return 1 - ((r * c) / (c - 2) - r);
  const y = 1 - (low - (r * c) / (2 - c) - high);
  if (k === 1024) return y * 2 * TWO_1023;
  if (k >= -MOST_POWER && k <= MOST_POWER) return y * (powers[MOST_POWER + k] ?? Number.NaN);
  if (k >= -1021) return withHighWord(y, highWord(y) + k * 0x100000);
  return withHighWord(y, highWord(y) + (k + 1000) * 0x100000) * TWO_M1000;
}
