/* One optimizer step. The formulas are those of torch.optim's _single_tensor functions in the order of operations of
   nnlab.optim.stacked_*, where the literature is named. What changes from step to step comes as the coefficients that
   those classes plan; nnlab.native.updates fills in the rest. */

enum { SGD, ADAM, RMSPROP, ADAGRAD, NADAM, RADAM, ADAMAX, ADADELTA, RPROP };
enum { MAXIMIZE = 1, DECOUPLED = 2, AMSGRAD = 4, MOMENTUM = 8, NESTEROV = 16, CENTERED = 32 };

typedef struct {
    int64_t kind, flags;
    double settings[8]; /* the weight decay, then what _CODES in nnlab.native.updates says */
} Optimizer;

/* Weights that are updated at a time, where the gradient has to be changed first. */
#define PIECE 512

#ifdef NNLAB_DOUBLE
INLINE real square_root(real x) { return sqrt(x); }
#else
INLINE real square_root(real x) { return sqrtf(x); }
#endif

/* The larger number, or NaN if one of them is (torch.maximum). */
INLINE real larger(real a, real b) { return (a > b) | (a != a) ? a : b; }

/* The nearest number within limits, or NaN for NaN (torch.clamp). */
INLINE real within(real x, real lowest, real highest) {
    x = x < lowest ? lowest : x;
    return x > highest ? highest : x;
}

/* 1, -1, or 0 for 0 and NaN (torch.sign). */
INLINE real sign_of(real x) {
    real sign = x > 0 ? 1 : 0;
    return x < 0 ? -1 : sign;
}

/* from + share (to - from), from whichever end is nearer (torch.lerp): with share 1 it is `to` exactly. */
INLINE real between(real from, real to, real share) {
    return share < (real)0.5 ? from + share * (to - from) : to - (1 - share) * (to - from);
}

/* v = b v + (1 - b) g^2; `added` is 1 - b, rounded once. */
INLINE real mean_of_squares(real mean, real g, real kept, real added) { return mean * kept + g * (g * added); }

/* w -= lr g.  c: -lr */
static void sgd(const double *c, real *restrict w, const real *restrict g, int64_t n) {
    real rate = (real)c[0];
    for (int64_t i = 0; i < n; i++) w[i] += g[i] * rate;
}

/* b = momentum b + (1 - dampening) g;  w -= lr b, or with Nesterov w -= lr (g + momentum b).
   c: -lr, 1 - dampening (1 in the first step); settings: momentum */
static void sgd_momentum(const double *settings, const double *c, real *restrict w, const real *restrict g,
                         real *restrict buffer, int64_t n) {
    real rate = (real)c[0], share = (real)c[1], momentum = (real)settings[1];
    for (int64_t i = 0; i < n; i++) {
        buffer[i] = buffer[i] * momentum + g[i] * share;
        w[i] += buffer[i] * rate;
    }
}

static void sgd_nesterov(const double *settings, const double *c, real *restrict w, const real *restrict g,
                         real *restrict buffer, int64_t n) {
    real rate = (real)c[0], share = (real)c[1], momentum = (real)settings[1];
    for (int64_t i = 0; i < n; i++) {
        buffer[i] = buffer[i] * momentum + g[i] * share;
        w[i] += (g[i] + buffer[i] * momentum) * rate;
    }
}

/* m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2;  w = s w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).
   c: -lr r / (1 - b1^t), eps r, with r = sqrt(1 - b2^t); settings: b1, b2; s (`kept`): decoupled decay, or 1 */
static void adam(const double *settings, const double *c, real kept, real *restrict w, const real *restrict g,
                 real *restrict mean, real *restrict square, int64_t n) {
    real added = (real)(1 - settings[1]), b2 = (real)settings[2], added2 = (real)(1 - settings[2]);
    real rate = (real)c[0], eps = (real)c[1];
    for (int64_t i = 0; i < n; i++) {
        mean[i] = between(mean[i], g[i], added);
        square[i] = mean_of_squares(square[i], g[i], b2, added2);
        w[i] = w[i] * kept + mean[i] * rate / (square_root(square[i]) + eps);
    }
}

/* The same with the largest v so far (AMSGrad). */
static void adam_amsgrad(const double *settings, const double *c, real kept, real *restrict w, const real *restrict g,
                         real *restrict mean, real *restrict square, real *restrict largest, int64_t n) {
    real added = (real)(1 - settings[1]), b2 = (real)settings[2], added2 = (real)(1 - settings[2]);
    real rate = (real)c[0], eps = (real)c[1];
    for (int64_t i = 0; i < n; i++) {
        mean[i] = between(mean[i], g[i], added);
        square[i] = mean_of_squares(square[i], g[i], b2, added2);
        largest[i] = larger(largest[i], square[i]);
        w[i] = w[i] * kept + mean[i] * rate / (square_root(largest[i]) + eps);
    }
}

/* m and v as in Adam;  w = s w - (lr1 g + lr2 m) / (sqrt(v / (1 - b2^t)) + eps), lr1 and lr2 carrying the momenta.
   c: -lr1 r, -lr2 r, eps r, with r = sqrt(1 - b2^t); settings: b1, b2 */
static void nadam(const double *settings, const double *c, real kept, real *restrict w, const real *restrict g,
                  real *restrict mean, real *restrict square, int64_t n) {
    real added = (real)(1 - settings[1]), b2 = (real)settings[2], added2 = (real)(1 - settings[2]);
    real rate_of_grad = (real)c[0], rate_of_mean = (real)c[1], eps = (real)c[2];
    for (int64_t i = 0; i < n; i++) {
        mean[i] = between(mean[i], g[i], added);
        square[i] = mean_of_squares(square[i], g[i], b2, added2);
        w[i] = w[i] * kept + (g[i] * rate_of_grad + mean[i] * rate_of_mean) / (square_root(square[i]) + eps);
    }
}

/* m and v as in Adam;  w = s w - lr' m / (sqrt(v) + eps), or s w - lr' m as long as v says too little.
   c: -lr', and 0 or else what stands for the root; settings: b1, b2, eps. The last argument is a constant where this is
   called. */
INLINE void radam(const double *settings, const double *c, real kept, real *restrict w, const real *restrict g,
                  real *restrict mean, real *restrict square, int64_t n, const int rectified) {
    real added = (real)(1 - settings[1]), b2 = (real)settings[2], added2 = (real)(1 - settings[2]);
    real rate = (real)c[0], eps = (real)settings[3];
    for (int64_t i = 0; i < n; i++) {
        mean[i] = between(mean[i], g[i], added);
        square[i] = mean_of_squares(square[i], g[i], b2, added2);
        real change = mean[i] * rate;
        w[i] = w[i] * kept + (rectified ? change / (square_root(square[i]) + eps) : change);
    }
}

/* m as in Adam, u = max(b2 u, |g| + eps);  w -= lr m / (1 - b1^t) / u.  c: -lr / (1 - b1^t); settings: b1, b2, eps */
static void adamax(const double *settings, const double *c, real *restrict w, const real *restrict g,
                   real *restrict mean, real *restrict largest, int64_t n) {
    real added = (real)(1 - settings[1]), b2 = (real)settings[2], eps = (real)settings[3], rate = (real)c[0];
    for (int64_t i = 0; i < n; i++) {
        mean[i] = between(mean[i], g[i], added);
        largest[i] = larger(largest[i] * b2, (g[i] < 0 ? -g[i] : g[i]) + eps);
        w[i] += mean[i] * rate / largest[i];
    }
}

/* v = a v + (1 - a) g^2, and with `centered` m = a m + (1 - a) g and v - m^2 in the place of v;
   w -= lr g / (sqrt(v) + eps), or with momentum b = momentum b + g / (sqrt(v) + eps) and w -= lr b.
   c: -lr; settings: a, eps, momentum. The last two arguments are constants where this is called. */
INLINE void rmsprop(const double *settings, const double *c, real *restrict w, const real *restrict g,
                    real *restrict square, real *restrict buffer, real *restrict mean, int64_t n, const int centered,
                    const int has_momentum) {
    real a = (real)settings[1], added = (real)(1 - settings[1]), eps = (real)settings[2];
    real momentum = (real)settings[3], rate = (real)c[0];
    for (int64_t i = 0; i < n; i++) {
        real spread = square[i] = mean_of_squares(square[i], g[i], a, added);
        if (centered) {
            mean[i] = between(mean[i], g[i], added);
            spread -= mean[i] * mean[i];
        }
        real divisor = square_root(spread) + eps;
        if (has_momentum) {
            buffer[i] = buffer[i] * momentum + g[i] / divisor;
            w[i] += buffer[i] * rate;
        } else {
            w[i] += g[i] * rate / divisor;
        }
    }
}

/* s = s + g^2;  w -= lr g / (sqrt(s) + eps).  c: -lr / (1 + (t - 1) lr_decay); settings: eps */
static void adagrad(const double *settings, const double *c, real *restrict w, const real *restrict g,
                    real *restrict total, int64_t n) {
    real rate = (real)c[0], eps = (real)settings[1];
    for (int64_t i = 0; i < n; i++) {
        total[i] += g[i] * g[i];
        w[i] += g[i] * rate / (square_root(total[i]) + eps);
    }
}

/* v = rho v + (1 - rho) g^2, d = g sqrt(u + eps) / sqrt(v + eps), u = rho u + (1 - rho) d^2;  w -= lr d.
   c: -lr; settings: rho, eps */
static void adadelta(const double *settings, const double *c, real *restrict w, const real *restrict g,
                     real *restrict square, real *restrict square_of_changes, int64_t n) {
    real rho = (real)settings[1], added = (real)(1 - settings[1]), eps = (real)settings[2], rate = (real)c[0];
    for (int64_t i = 0; i < n; i++) {
        square[i] = mean_of_squares(square[i], g[i], rho, added);
        real change = square_root(square_of_changes[i] + eps) / square_root(square[i] + eps) * g[i];
        square_of_changes[i] = mean_of_squares(square_of_changes[i], change, rho, added);
        w[i] += change * rate;
    }
}

/* z grows by eta+ where the gradient's sign stayed, shrinks by eta- where it turned, within limits;  w -= z sign(g),
   but not where it turned, and there the next step counts as the first.
   settings: eta-, eta+, the smallest and the largest z */
static void rprop(const double *settings, real *restrict w, const real *restrict g, real *restrict previous,
                  real *restrict size, int64_t n) {
    real shrinks = (real)settings[1], grows = (real)settings[2];
    real smallest = (real)settings[3], largest = (real)settings[4];
    for (int64_t i = 0; i < n; i++) {
        real turn = g[i] * previous[i];
        real factor = turn > 0 ? grows : 1;
        factor = turn < 0 ? shrinks : factor;
        size[i] = within(size[i] * factor, smallest, largest);
        real followed = previous[i] = turn < 0 ? 0 : g[i];
        w[i] -= sign_of(followed) * size[i];
    }
}

/* One step of a piece. `kept` is what decoupled decay multiplies the weights by. */
static void update_piece(const Optimizer *o, const double *c, real kept, real *restrict w, const real *restrict g,
                         real *restrict s0, real *restrict s1, real *restrict s2, int64_t n) {
    const double *settings = o->settings;
    int has_momentum = (o->flags & MOMENTUM) != 0;
    switch (o->kind) {
    case SGD:
        if (!has_momentum) sgd(c, w, g, n);
        else if (o->flags & NESTEROV) sgd_nesterov(settings, c, w, g, s0, n);
        else sgd_momentum(settings, c, w, g, s0, n);
        break;
    case ADAM:
        if (o->flags & AMSGRAD) adam_amsgrad(settings, c, kept, w, g, s0, s1, s2, n);
        else adam(settings, c, kept, w, g, s0, s1, n);
        break;
    case RMSPROP:
        if (o->flags & CENTERED && has_momentum) rmsprop(settings, c, w, g, s0, s1, s2, n, 1, 1);
        else if (o->flags & CENTERED) rmsprop(settings, c, w, g, s0, s1, s2, n, 1, 0);
        else if (has_momentum) rmsprop(settings, c, w, g, s0, s1, s2, n, 0, 1);
        else rmsprop(settings, c, w, g, s0, s1, s2, n, 0, 0);
        break;
    case ADAGRAD: adagrad(settings, c, w, g, s0, n); break;
    case NADAM: nadam(settings, c, kept, w, g, s0, s1, n); break;
    case RADAM:
        if (c[1] > 0) radam(settings, c, kept, w, g, s0, s1, n, 0);
        else radam(settings, c, kept, w, g, s0, s1, n, 1);
        break;
    case ADAMAX: adamax(settings, c, w, g, s0, s1, n); break;
    case ADADELTA: adadelta(settings, c, w, g, s0, s1, n); break;
    case RPROP: rprop(settings, w, g, s0, s1, n); break;
    }
}

/* Where the factor that decoupled decay multiplies the weights by is among the coefficients; -1 without it. */
INLINE int place_of_shrinkage(int64_t kind) { return kind == ADAM ? 2 : kind == NADAM || kind == RADAM ? 3 : -1; }

/* One step of n neighbouring weights.  c: this step's coefficients; decays: whether weight decay applies to these
   weights; s0 to s2: what the optimizer remembers of them, NULL where it has less. */
static void update(const Optimizer *o, const double *c, int decays, real *restrict w, const real *restrict g,
                   real *restrict s0, real *restrict s1, real *restrict s2, int64_t n) {
    int is_decoupled = (o->flags & DECOUPLED) != 0, place = place_of_shrinkage(o->kind);
    real kept = decays && is_decoupled && place >= 0 && o->settings[0] != 0 ? (real)c[place] : 1;
    real penalty = decays && !is_decoupled ? (real)o->settings[0] : 0;
    if (!(o->flags & MAXIMIZE) && penalty == 0) {
        update_piece(o, c, kept, w, g, s0, s1, s2, n);
        return;
    }
    real side = o->flags & MAXIMIZE ? -1 : 1;
    for (int64_t from = 0; from < n; from += PIECE) {
        int64_t size = n - from < PIECE ? n - from : PIECE;
        real changed[PIECE];
        if (penalty == 0)
            for (int64_t i = 0; i < size; i++) changed[i] = side * g[from + i];
        else
            for (int64_t i = 0; i < size; i++) changed[i] = side * g[from + i] + penalty * w[from + i];
        update_piece(o, c, kept, w + from, changed, s0 ? s0 + from : 0, s1 ? s1 + from : 0, s2 ? s2 + from : 0, size);
    }
}
