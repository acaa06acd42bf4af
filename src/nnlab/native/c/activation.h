/* Activations a = f(z) and their slopes f'(z). The formulas and what holds at kinks are those of
   nnlab.model.slope_linear and slope_curved, where the literature is named; nnlab.native.activations says which layer
   is which kind and what its two numbers are. */

enum {
    IDENTITY, RELU, LEAKY_RELU, HARDTANH, HARDSIGMOID, HARDSWISH, SOFTSHRINK, HARDSHRINK, THRESHOLD, ELU, CELU, GELU,
    GELU_TANH, SILU, MISH, SOFTPLUS, SOFTSIGN, SIGMOID, LOGSIGMOID, TANH, TANHSHRINK, PRELU
};

typedef struct {
    int64_t kind;
    double first, second;
} Activation;

/* Comparisons are written so that NaN is given on: none holds for it. */

/* max(z, 0). */
INLINE Point relu_at(real z, real first, real second) {
    (void)first, (void)second;
    return (Point){z < 0 ? 0 : z, z > 0 ? 1 : 0};
}

/* z, or s z where z is not above 0. */
INLINE Point leaky_relu_at(real z, real s, real second) {
    (void)second;
    return (Point){z > 0 ? z : s * z, z > 0 ? 1 : s};
}

/* z held between low and high. */
INLINE Point hardtanh_at(real z, real low, real high) {
    return (Point){z < low ? low : z > high ? high : z, (z > low) & (z < high) ? 1 : 0};
}

/* z + 3, held between 0 and 6, over 6; torch's 1/6 of the slope is a float's. */
INLINE Point hardsigmoid_at(real z, real first, real second) {
    (void)first, (void)second;
    real up = z + 3;
    return (Point){(up < 0 ? 0 : up > 6 ? 6 : up) * (real)(1 / 6.0), size_of(z) < 3 ? (real)0.1666666716337204 : 0};
}

/* z h(z) with the hard sigmoid h. */
INLINE Point hardswish_at(real z, real first, real second) {
    (void)first, (void)second;
    real up = z + 3, h = (up < 0 ? 0 : up > 6 ? 6 : up) * (real)(1 / 6.0);
    return (Point){z * h, h + (size_of(z) < 3 ? z * (real)(1 / 6.0) : 0)};
}

/* z moved by l towards 0, and not past it. */
INLINE Point softshrink_at(real z, real l, real second) {
    (void)second;
    real a = z > l ? z - l : z < -l ? z + l : z * 0;
    return (Point){a, a != 0 ? 1 : 0};
}

/* z, or 0 where |z| <= l; with a negative l always z. */
INLINE Point hardshrink_at(real z, real l, real second) {
    (void)second;
    int is_inside = size_of(z) <= l;
    return (Point){is_inside ? 0 : z, is_inside ? 0 : 1};
}

/* z where z > t, else a constant. */
INLINE Point threshold_at(real z, real t, real constant) {
    return (Point){z <= t ? constant : z, z > t ? 1 : 0};
}

/* k z where z > 0, else c (exp(z) - 1): ELU with k = 1, SELU with its k and c = k alpha. */
INLINE Point elu_at(real z, real k, real c) {
    real m = expm1_of(z > 0 ? 0 : z);
    return (Point){z > 0 ? k * z : c * m, z > 0 ? k : c * (m + 1)};
}

/* z where z > 0, else alpha (exp(z / alpha) - 1); `inverse` is 1 / alpha. */
INLINE Point celu_at(real z, real alpha, real inverse) {
    real m = expm1_of((z > 0 ? 0 : z) * inverse);
    return (Point){z > 0 ? z : alpha * m, m + 1};
}

/* z P(z) with the normal distribution's P. */
INLINE Point gelu_at(real z, real first, real second) {
    (void)first, (void)second;
    Normal at = normal_at(z);
    return (Point){z * at.probability, at.probability + z * at.density};
}

/* z s(2 u) with 2 u = 2 sqrt(2 / pi) (z + 0.044715 z^3). */
INLINE Point gelu_tanh_at(real z, real first, real second) {
    (void)first, (void)second;
    const real scale = (real)1.59576912160573071176, cubic = (real)(1.59576912160573071176 * 0.044715);
    real square = z * z, s = logistic(z * (square * cubic + scale)), a = z * s;
    return (Point){a, s + a * (1 - s) * (square * (3 * cubic) + scale)};
}

/* z s(z). */
INLINE Point silu_at(real z, real first, real second) {
    (void)first, (void)second;
    real s = logistic(z), a = z * s;
    return (Point){a, s + a * (1 - s)};
}

/* z tanh(log(1 + exp(z))) = z s (1 + r) / (1 + r^2) with r = 1 - s(z). */
INLINE Point mish_at(real z, real first, real second) {
    (void)first, (void)second;
    real s = logistic(z), r = 1 - s, share = 1 / (1 + r * r), rest = 1 + r;
    return (Point){z * (s * rest * share), s * share * (rest + 4 * z * (r * r * share))};
}

/* log(1 + exp(b z)) / b, or z where b z is above the threshold; 1 + exp(x) = exp(x) (1 + exp(-x)). */
INLINE Point softplus_at(real z, real b, real threshold) {
    real x = z * b, e = exp_of(-size_of(x)), s = (x < 0 ? e : 1) / (1 + e);
    int is_line = x > threshold;
    return (Point){is_line ? z : ((x > 0 ? x : 0) + log1p_of_unit(e)) / b, is_line ? 1 : s};
}

/* z / (1 + |z|). */
INLINE Point softsign_at(real z, real first, real second) {
    (void)first, (void)second;
    real share = 1 / (1 + size_of(z));
    return (Point){z * share, share * share};
}

/* 1 / (1 + exp(-z)). */
INLINE Point sigmoid_at(real z, real first, real second) {
    (void)first, (void)second;
    real a = logistic(z);
    return (Point){a, a * (1 - a)};
}

/* log s(z) = min(z, 0) - log(1 + exp(-|z|)). */
INLINE Point log_sigmoid_at(real z, real first, real second) {
    (void)first, (void)second;
    real e = exp_of(-size_of(z));
    return (Point){(z < 0 ? z : 0) - log1p_of_unit(e), (z < 0 ? 1 : e) / (1 + e)};
}

INLINE Point tanh_at(real z, real first, real second) {
    (void)first, (void)second;
    real a = tanh_of(z);
    return (Point){a, 1 - a * a};
}

/* z - tanh(z). */
INLINE Point tanhshrink_at(real z, real first, real second) {
    (void)first, (void)second;
    real t = tanh_of(z);
    return (Point){z - t, t * t};
}

/* The function `at` is known where this is called, so that the loop contains it and is vectorized. */
INLINE void each(Point (*const at)(real, real, real), const Activation *f, real *restrict a, real *restrict slope,
                 int64_t n) {
    real first = (real)f->first, second = (real)f->second;
    for (int64_t i = 0; i < n; i++) {
        Point point = at(a[i], first, second);
        a[i] = point.value;
        slope[i] = point.slope;
    }
}

/* `a` holds z on entry and f(z) on return, `slope` f'(z); the identity leaves both alone. Not for PReLU. */
static void activate(const Activation *f, real *restrict a, real *restrict slope, int64_t n) {
    switch (f->kind) {
    case RELU: each(relu_at, f, a, slope, n); break;
    case LEAKY_RELU: each(leaky_relu_at, f, a, slope, n); break;
    case HARDTANH: each(hardtanh_at, f, a, slope, n); break;
    case HARDSIGMOID: each(hardsigmoid_at, f, a, slope, n); break;
    case HARDSWISH: each(hardswish_at, f, a, slope, n); break;
    case SOFTSHRINK: each(softshrink_at, f, a, slope, n); break;
    case HARDSHRINK: each(hardshrink_at, f, a, slope, n); break;
    case THRESHOLD: each(threshold_at, f, a, slope, n); break;
    case ELU: each(elu_at, f, a, slope, n); break;
    case CELU: each(celu_at, f, a, slope, n); break;
    case GELU: each(gelu_at, f, a, slope, n); break;
    case GELU_TANH: each(gelu_tanh_at, f, a, slope, n); break;
    case SILU: each(silu_at, f, a, slope, n); break;
    case MISH: each(mish_at, f, a, slope, n); break;
    case SOFTPLUS: each(softplus_at, f, a, slope, n); break;
    case SOFTSIGN: each(softsign_at, f, a, slope, n); break;
    case SIGMOID: each(sigmoid_at, f, a, slope, n); break;
    case LOGSIGMOID: each(log_sigmoid_at, f, a, slope, n); break;
    case TANH: each(tanh_at, f, a, slope, n); break;
    case TANHSHRINK: each(tanhshrink_at, f, a, slope, n); break;
    }
}

/* PReLU of a unit: z, or w z where z is not above 0; `below` becomes da/dw, which is z there and else 0. */
static void prelu(real w, real *restrict a, real *restrict slope, real *restrict below, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        real z = a[i];
        Point point = leaky_relu_at(z, w, 0);
        a[i] = point.value;
        slope[i] = point.slope;
        below[i] = z > 0 ? 0 : z;
    }
}
