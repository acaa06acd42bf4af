/* Losses and their derivatives with respect to the prediction. The formulas and what holds at corners are those of the
   classes in nnlab.loss, where the literature is named; nnlab.native.losses says which class is which kind. */

enum { MSE, HALF_MSE, L1, HUBER, SMOOTH_L1, BCE, BCE_PROBABILITY, HINGE, POLYNOMIAL, CROSS_ENTROPY };

typedef struct {
    int64_t kind;
    double setting;        /* delta, beta, or cross-entropy's label smoothing */
    int64_t num_numbers;
    const double *numbers; /* a polynomial's coefficients; cross-entropy's class weights or NULL */
} Loss;

/* Rows whose terms are added up at a time. */
enum { LOSS_ROWS = 64 };

/* Some rows of a tile: of `rows`, whole vectors, the first n count. */
typedef struct {
    int64_t outputs, width, n, rows;
    const real *p, *target; /* [outputs][width] */
    const int64_t *codes;
    const real *weight; /* [LOSS_ROWS]: 1 where rows have none */
    real scale;
    real *g;     /* [outputs][width] */
    double *sum; /* [LOSS_ROWS]: of each row's terms */
} Slice;

/* (p - t)^2. */
INLINE Point mse_at(real p, real t, real setting) {
    (void)setting;
    real d = p - t;
    return (Point){d * d, 2 * d};
}

/* (p - t)^2 / 2. */
INLINE Point half_mse_at(real p, real t, real setting) {
    (void)setting;
    real d = p - t;
    return (Point){d * d / 2, d};
}

/* |p - t|. */
INLINE Point l1_at(real p, real t, real setting) {
    (void)setting;
    real d = p - t;
    return (Point){size_of(d), (real)((d > 0) - (d < 0))};
}

/* With d = p - t: d^2 / 2, or delta (|d| - delta / 2) where |d| > delta. */
INLINE Point huber_at(real p, real t, real delta) {
    real d = p - t, size = size_of(d);
    return (Point){size > delta ? delta * (size - delta / 2) : d * d / 2, d < -delta ? -delta : d > delta ? delta : d};
}

/* With d = p - t: d^2 / (2 beta), or |d| - beta / 2 where |d| >= beta; beta > 0. */
INLINE Point smooth_l1_at(real p, real t, real beta) {
    real d = p - t, size = size_of(d), share = d / beta;
    return (Point){size < beta ? d * share / 2 : size - beta / 2, share < -1 ? -1 : share > 1 ? 1 : share};
}

/* -t log s(p) - (1 - t) log(1 - s(p)) = max(p, 0) - t p + log(1 + exp(-|p|)). */
INLINE Point bce_at(real p, real t, real setting) {
    (void)setting;
    real e = exp_of(-size_of(p)), s = (p < 0 ? e : 1) / (1 + e);
    return (Point){(p > 0 ? p : 0) - t * p + log1p_of_unit(e), s - t};
}

/* -t log p - (1 - t) log(1 - p), logarithms cut at -100; torch's 1e-12 in the slope is a float's. */
INLINE Point bce_probability_at(real p, real t, real setting) {
    (void)setting;
    const real least = (real)9.999999960041972e-13;
    real log_p = log_of(p), log_other = log1p_of(-p), spread = p * (1 - p);
    log_p = log_p < -100 ? -100 : log_p;
    log_other = log_other < -100 ? -100 : log_other;
    return (Point){-t * log_p - (1 - t) * log_other, (p - t) / (spread < least ? least : spread)};
}

/* max(0, 1 - t p). */
INLINE Point hinge_at(real p, real t, real setting) {
    (void)setting;
    real left = 1 - t * p;
    return (Point){left < 0 ? 0 : left, left > 0 ? -t : 0};
}

/* A loss that has a term for each output; the function is known where this is called. */
INLINE void each_term(Point (*const at)(real, real, real), const Loss *f, const Slice *s) {
    real setting = (real)f->setting, scale = s->scale;
    const real *restrict weight = s->weight;
    double *restrict sum = s->sum;
    for (int64_t o = 0; o < s->outputs; o++) {
        const real *restrict p = s->p + o * s->width, *restrict target = s->target + o * s->width;
        real *restrict g = s->g + o * s->width;
        for (int64_t row = 0; row < s->rows; row++) {
            Point point = at(p[row], target[row], setting);
            g[row] = point.slope * weight[row] * scale;
            sum[row] += (double)(point.value * weight[row]);
        }
    }
}

/* c0 + c1 p + c2 p^2 + ... and its slope, by Horner's scheme. */
static void polynomial(const Loss *f, const Slice *s) {
    const real *restrict weight = s->weight;
    double *restrict sum = s->sum;
    for (int64_t o = 0; o < s->outputs; o++) {
        const real *restrict p = s->p + o * s->width;
        real *restrict g = s->g + o * s->width;
        real value[LOSS_ROWS] = {0}, slope[LOSS_ROWS] = {0};
        for (int64_t power = f->num_numbers - 1; power >= 0; power--) {
            real coefficient = (real)f->numbers[power];
            for (int64_t row = 0; row < s->rows; row++) {
                slope[row] = slope[row] * p[row] + value[row];
                value[row] = value[row] * p[row] + coefficient;
            }
        }
        for (int64_t row = 0; row < s->rows; row++) {
            g[row] = slope[row] * weight[row] * s->scale;
            sum[row] += (double)(value[row] * weight[row]);
        }
    }
}

/* most = max over the outputs of p; sum = the sum of exp(p - most), whose terms are left in g. */
static void exponentials(const Slice *s, real *restrict most, real *restrict sum) {
    for (int64_t row = 0; row < s->rows; row++) most[row] = s->p[row], sum[row] = 0;
    for (int64_t o = 1; o < s->outputs; o++) {
        const real *restrict p = s->p + o * s->width;
        for (int64_t row = 0; row < s->rows; row++) most[row] = p[row] > most[row] ? p[row] : most[row];
    }
    for (int64_t o = 0; o < s->outputs; o++) {
        const real *restrict p = s->p + o * s->width;
        real *restrict g = s->g + o * s->width;
        for (int64_t row = 0; row < s->rows; row++) sum[row] += g[row] = exp_of(p[row] - most[row]);
    }
}

/* The part of the target that label smoothing gives to a class, times the class's weight where there are some; NaN
   where there should be one. */
INLINE real smoothed(const Loss *f, const Slice *s, int64_t o) {
    double weight = !f->numbers ? 1 : o < f->num_numbers ? f->numbers[o] : NAN;
    return (real)(f->setting / (double)s->outputs * weight);
}

/* What label smoothing adds to the terms, q (log sum exp p - p), and to their slopes, -q. */
static void smooth(const Loss *f, const Slice *s, const real *restrict most, const real *restrict log_sum) {
    double *restrict sum = s->sum;
    for (int64_t o = 0; o < s->outputs; o++) {
        const real *restrict p = s->p + o * s->width;
        real *restrict g = s->g + o * s->width;
        real q = smoothed(f, s, o), taken = q * s->scale;
        for (int64_t row = 0; row < s->rows; row++) {
            g[row] -= taken;
            sum[row] += (double)(q * (log_sum[row] - (p[row] - most[row])));
        }
    }
}

/* -sum_c q_c log softmax_c(p) = sum_c q_c (log sum exp p - p_c) and its slope, softmax_c sum q - q_c. The target q is
   the row's weight times 1 - smoothing at the row's class, and what label smoothing adds everywhere. */
static void cross_entropy(const Loss *f, const Slice *s) {
    real most[LOSS_ROWS], sum[LOSS_ROWS], log_sum[LOSS_ROWS], factor[LOSS_ROWS];
    real kept = (real)(1 - f->setting), scale = s->scale, all_smoothed = 0;
    const real *restrict weight = s->weight;
    int is_smooth = f->setting > 0;
    exponentials(s, most, sum);
    for (int64_t o = 0; o < s->outputs && is_smooth; o++) all_smoothed += smoothed(f, s, o);
    for (int64_t row = 0; row < s->rows; row++) {
        log_sum[row] = log_of(sum[row]);
        factor[row] = (kept * weight[row] + all_smoothed) * scale / sum[row];
    }
    for (int64_t o = 0; o < s->outputs; o++) {
        real *restrict g = s->g + o * s->width;
        for (int64_t row = 0; row < s->rows; row++) g[row] *= factor[row];
    }
    if (is_smooth) smooth(f, s, most, log_sum);
    for (int64_t row = 0; row < s->n; row++) {
        int64_t at = s->codes[row] * s->width + row;
        real q = kept * weight[row];
        if (s->codes[row] < 0 || s->codes[row] >= s->outputs) { /* no such class: what torch stops with an error at */
            s->sum[row] = (double)NAN;
            continue;
        }
        s->sum[row] += (double)(q * (log_sum[row] - (s->p[at] - most[row])));
        s->g[at] -= q * scale;
    }
}

static void terms(const Loss *f, const Slice *s) {
    switch (f->kind) {
    case MSE: each_term(mse_at, f, s); break;
    case HALF_MSE: each_term(half_mse_at, f, s); break;
    case L1: each_term(l1_at, f, s); break;
    case HUBER: each_term(huber_at, f, s); break;
    case SMOOTH_L1: each_term(smooth_l1_at, f, s); break;
    case BCE: each_term(bce_at, f, s); break;
    case BCE_PROBABILITY: each_term(bce_probability_at, f, s); break;
    case HINGE: each_term(hinge_at, f, s); break;
    case POLYNOMIAL: polynomial(f, s); break;
    case CROSS_ENTROPY: cross_entropy(f, s); break;
    }
}

/* The sum of a slice's rows, halves added to halves; rows beyond the last count nothing, and their g becomes 0. */
static double close_slice(const Slice *s) {
    double *sum = s->sum;
    for (int64_t row = s->n; row < LOSS_ROWS; row++) sum[row] = 0;
    for (int64_t o = 0; o < s->outputs && s->n < s->rows; o++)
        for (int64_t row = s->n; row < s->rows; row++) s->g[o * s->width + row] = 0;
    for (int64_t half = LOSS_ROWS / 2; half; half /= 2)
        for (int64_t row = 0; row < half; row++) sum[row] += sum[row + half];
    return sum[0];
}

/* scale times the sum over n rows and all outputs of the loss's terms, each times its row's weight where there are
   some; g becomes its derivative with respect to the prediction p, and 0 for rows from n on. p, target and g are
   [outputs][width]; target may be NULL for a polynomial and for cross-entropy, which alone looks at codes [n]. */
static double add_loss(const Loss *f, int64_t outputs, int64_t n, int64_t width, const real *p, const real *target,
                       const int64_t *codes, const real *weight, double scale, real *g) {
    double total = 0;
    for (int64_t from = 0; from < width; from += LOSS_ROWS) {
        int64_t rows = width - from < LOSS_ROWS ? width - from : LOSS_ROWS, left = n - from;
        real weights[LOSS_ROWS];
        double sum[LOSS_ROWS] = {0};
        for (int64_t row = 0; row < rows; row++) weights[row] = weight ? weight[from + row] : 1;
        Slice s = {
            .outputs = outputs, .width = width, .rows = rows, .n = left < 0 ? 0 : left < rows ? left : rows,
            .p = p + from, .target = target ? target + from : 0, .codes = codes ? codes + from : 0,
            .weight = weights, .scale = (real)scale, .g = g + from, .sum = sum,
        };
        terms(f, &s);
        total += close_slice(&s);
    }
    return total * scale;
}
