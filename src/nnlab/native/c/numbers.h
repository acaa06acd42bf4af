/* Numbers and elementary functions.

   The functions are polynomials, so that loops over them become vector code: a compiler does not vectorize calls of
   expf or log. Errors are below 2 units in the last place unless something else is said; NaN gives NaN. */
#pragma once
#include <math.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* A number, its bits as a whole number, and what they are made of: MANTISSA bits after the leading 1, and the exponent
   plus BIAS. SMALLEST is the smallest that has a leading 1. */
#ifdef NNLAB_DOUBLE
typedef double real;
typedef uint64_t whole;
#define MANTISSA 52
#define BIAS 1023
#define SMALLEST 0x1p-1022
INLINE real size_of(real x) { return fabs(x); }
INLINE real with_sign(real size, real sign) { return copysign(size, sign); }
#else
typedef float real;
typedef uint32_t whole;
#define MANTISSA 23
#define BIAS 127
#define SMALLEST 0x1p-126f
INLINE real size_of(real x) { return fabsf(x); }
INLINE real with_sign(real size, real sign) { return copysignf(size, sign); }
#endif
/* From here on numbers have no digits after the point. */
#define COARSE ((real)((whole)1 << MANTISSA))

INLINE whole bits_of(real x) {
    union { real value; whole bits; } same = {.value = x};
    return same.bits;
}

INLINE real from_bits(whole bits) {
    union { whole bits; real value; } same = {.bits = bits};
    return same.value;
}

/* 2^n for n from 1 - BIAS to BIAS; a negative n as what it is modulo all bits. */
INLINE real power_of_two(whole n) { return from_bits((n + BIAS) << MANTISSA); }

/* c0 + c1 x + c2 x^2 + ...; `count` is known where this is called. */
INLINE real horner(const real *terms, const int count, real x) {
    real sum = terms[count - 1];
#pragma GCC unroll 20
    for (int i = count - 2; i >= 0; i--) sum = sum * x + terms[i];
    return sum;
}

/* x = n log 2 + r with |r| <= log 2 / 2. */
typedef struct {
    whole n;
    real exp_of_r_minus_1;
} Reduced;

/* Adding 1.5 COARSE rounds to a whole number, which is then in the last bits. log 2 is subtracted in two parts, of
   which the first has so few bits that its multiples are exact (Cody and Waite, Software Manual for the Elementary
   Functions, 1980). r + r^2 Q(r) is minimax, to a tenth of a unit of exp(r) or less. */
INLINE Reduced reduce(real x) {
#ifdef NNLAB_DOUBLE
    static const real terms[] = {
        0.5, 0.1666666666666667, 0.04166666666666667, 0.008333333333326112, 0.001388888888888373, 0.0001984126987490126,
        2.4801587325605324e-05, 2.7557255297969643e-06, 2.755727357010214e-07, 2.5105259538448494e-08,
        2.0914717341716378e-09,
    };
    const real high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
#else
    static const real terms[] = {4.99999940e-1f, 1.66665196e-1f, 4.16684076e-2f, 8.36892240e-3f, 1.38141715e-3f};
    const real high = 0.693359375f, low = -2.12194440e-4f;
#endif
    const real rounds = (real)1.5 * COARSE;
    real sum = x * (real)1.44269504088896340736 + rounds, n = sum - rounds, r = x - n * high - n * low;
    return (Reduced){bits_of(sum) - bits_of(rounds), r + r * r * horner(terms, sizeof(terms) / sizeof(*terms), r)};
}

/* exp(x), from 0 to infinity. 2^n is multiplied by in two halves, as it may be too large or too small by itself. */
INLINE real exp_of(real x) {
    const real lowest = sizeof(real) == 8 ? -746 : -104, highest = sizeof(real) == 8 ? 710 : 89;
    Reduced at = reduce(x < lowest ? lowest : x > highest ? highest : x);
    whole half = ((at.n + 4096) >> 1) - 2048;
    return (1 + at.exp_of_r_minus_1) * power_of_two(half) * power_of_two(at.n - half);
}

/* exp(x) - 1 for x <= 0. */
INLINE real expm1_of(real x) {
    const real lowest = sizeof(real) == 8 ? -55 : -26;
    Reduced at = reduce(x < lowest ? lowest : x);
    real scale = power_of_two(at.n);
    return scale * at.exp_of_r_minus_1 + (scale - 1);
}

/* n log 2 + log(1 + f) for |f| <= 1/3: log(1 + f) = f + f^2 P(f) is minimax, to half a unit or less. */
INLINE real log_of_parts(real n, real f) {
#ifdef NNLAB_DOUBLE
    static const real terms[] = {
        -0.49999999999999994, 0.3333333333333333,   -0.2500000000000761,  0.20000000000007295,  -0.1666666666441174,
        0.1428571428355327,   -0.125000002584843,   0.11111111358826094,  -0.09999984996026612, 0.09090894712425057,
        -0.08333831623308569, 0.07692785190853096,  -0.07132841515691758, 0.06657069507345262,  -0.06373373683547416,
        0.06000561115842353,  -0.04654792214121165, 0.04400242994736675,  -0.0846714536982666,  0.08082290573810176,
    };
#else
    static const real terms[] = {
        -4.99999344e-1f, 3.33331972e-1f, -2.50078350e-1f, 2.00111896e-1f,
        -1.64156258e-1f, 1.39954418e-1f, -1.53905616e-1f, 1.40282989e-1f,
    };
#endif
    real p = horner(terms, sizeof(terms) / sizeof(*terms), f);
    return n * (real)0.69314718055994530942 + (f * f * p + f);
}

/* log(x): NaN below 0, minus infinity at 0. x = 2^n (1 + f) with 1 + f from 2/3 to 4/3. */
INLINE real log_of(real x) {
    int is_small = x < SMALLEST;
    whole bits = bits_of(is_small ? x * COARSE : x);
    whole exponent = (bits - bits_of((real)(2 / 3.0)) + bits_of(1)) >> MANTISSA; /* n + BIAS */
    real n = from_bits(bits_of(COARSE) | exponent) - (COARSE + BIAS) - (is_small ? MANTISSA : 0);
    real f = from_bits(bits - ((exponent - BIAS) << MANTISSA)) - 1;
    return x > 0 ? (x < INFINITY ? log_of_parts(n, f) : x) : x == 0 ? -INFINITY : NAN;
}

/* log(1 + x). What the sum u = 1 + x loses to rounding, x - (u - 1), changes its logarithm by that over u. */
INLINE real log1p_of(real x) {
    real u = 1 + x, lost = (x - (u - 1)) / u;
    return log_of(u) + ((u > 0) & (u < INFINITY) ? lost : 0);
}

/* log(1 + x) for x from 0 to 1: 1 + x itself, or twice what is 1 + (x - 1) / 2; below 3 units. */
INLINE real log1p_of_unit(real x) {
    int is_large = x > (real)(1 / 3.0);
    return log_of_parts(is_large, is_large ? (x - 1) / 2 : x);
}

/* tanh(x) = -m / (2 + m) with m = exp(-2 |x|) - 1, and the sign of x; below 3 units. */
INLINE real tanh_of(real x) {
    real m = expm1_of(-2 * size_of(x));
    return with_sign(m / (2 + m), x);
}

/* What a function gives at some place. */
typedef struct {
    real value, slope;
} Point;

/* 1 / (1 + exp(-x)); below 3 units, and 0 where exp(-x) is no finite number. */
INLINE real logistic(real x) { return 1 / (1 + exp_of(-x)); }

/* The normal distribution: P(z) = erfc(-z / sqrt 2) / 2 and its density exp(-z^2 / 2) / sqrt(2 pi). */
typedef struct {
    real probability, density;
} Normal;

/* In single precision with erfc(x) = exp(-x^2) t F(t) for x >= 0, t = 1 / (1 + 0.45 x), where F is minimax to 4e-8. Far
   out the errors are those of z^2; times z they are below 2 units of 1. In double precision erfc is the C library's. */
INLINE Normal normal_at(real z) {
    real e = exp_of(-(z * z) / 2);
#ifdef NNLAB_DOUBLE
    real probability = erfc(-z * 0.70710678118654752440) / 2;
#else
    static const real terms[] = {
        2.53885329e-1f,  2.53883153e-1f, 2.28271648e-1f,  1.75252080e-1f, 1.19950712e-1f,
        -2.23589335e-2f, 1.42402947e-1f, -3.00584704e-1f, 1.90689191e-1f, -4.13914174e-2f,
    };
    real t = 1 / (1 + 0.45f * 0.707106781f * size_of(z));
    real outside = e * t * horner(terms, sizeof(terms) / sizeof(*terms), t) / 2;
    real probability = z > 0 ? 1 - outside : outside;
#endif
    return (Normal){probability, e * (real)0.39894228040143267794};
}
