/* Batch norm and layer norm: h = (z - mean) / s with s = sqrt(variance + eps), a = gamma h + beta; over the rows of a
   batch, unit by unit, or over the units, row by row. nnlab.gradient.chain derives what goes back. */

enum { NO_NORM, BATCH_NORM, LAYER_NORM };

typedef struct {
    int64_t kind;
    double eps, momentum;           /* momentum: NaN for the mean of all batches so far */
    real *running_mean, *running_variance; /* batch norm's, NULL where it keeps none */
    int64_t *num_batches;
} Norm;

/* Batch norm of units [first, last) of z [units][width], of which the first n rows count; h and inverse = 1 / s are
   kept. Running values move towards the batch's mean and unbiased variance. */
static void batch_norm(const Norm *norm, const real *gamma, const real *beta, real *z, real *h, real *inverse,
                       int64_t first, int64_t last, int64_t n, int64_t width) {
    for (int64_t unit = first; unit < last; unit++) {
        real *restrict of_unit = z + unit * width, *restrict normal = h + unit * width;
        real mean = sum_of(of_unit, 0, n) / n, variance = 0;
        for (int64_t row = 0; row < width; row++) normal[row] = of_unit[row] - mean;
        variance = sum_of(normal, normal, n) / n;
        real factor = 1 / (real)sqrt((double)variance + norm->eps);
        inverse[unit] = factor;
        real g = gamma ? gamma[unit] : 1, b = beta ? beta[unit] : 0;
        for (int64_t row = 0; row < width; row++) {
            normal[row] *= factor;
            of_unit[row] = normal[row] * g + b;
        }
        if (!norm->running_mean) continue;
        real share = norm->momentum != norm->momentum ? (real)(1.0 / (double)*norm->num_batches) : (real)norm->momentum;
        real unbiased = n > 1 ? variance * ((real)n / (real)(n - 1)) : variance;
        norm->running_mean[unit] += share * (mean - norm->running_mean[unit]);
        norm->running_variance[unit] += share * (unbiased - norm->running_variance[unit]);
    }
}

/* Layer norm of z [units][width], all rows. `sums` has room for 2 width numbers. */
static void layer_norm(const Norm *norm, const real *gamma, const real *beta, real *restrict z, real *restrict h,
                       real *restrict inverse, real *restrict sums, int64_t units, int64_t width) {
    real *restrict mean = sums, *restrict variance = sums + width;
    memset(sums, 0, 2 * (size_t)width * sizeof(real));
    for (int64_t unit = 0; unit < units; unit++)
        for (int64_t row = 0; row < width; row++) mean[row] += z[unit * width + row];
    for (int64_t row = 0; row < width; row++) mean[row] /= (real)units;
    for (int64_t unit = 0; unit < units; unit++)
        for (int64_t row = 0; row < width; row++) {
            real away = h[unit * width + row] = z[unit * width + row] - mean[row];
            variance[row] += away * away;
        }
    for (int64_t row = 0; row < width; row++) inverse[row] = 1 / (real)sqrt((double)variance[row] / (double)units + norm->eps);
    for (int64_t unit = 0; unit < units; unit++) {
        real g = gamma ? gamma[unit] : 1, b = beta ? beta[unit] : 0;
        for (int64_t row = 0; row < width; row++) {
            h[unit * width + row] *= inverse[row];
            z[unit * width + row] = h[unit * width + row] * g + b;
        }
    }
}

/* From the derivative with respect to a, in `grad`, to that with respect to z, in its place; adds to those with respect
   to gamma and beta, or replaces them. Rows from n on hold 0 and get 0. */
static void batch_norm_back(const real *gamma, const real *h, const real *inverse, real *grad, real *gamma_grad,
                            real *beta_grad, int64_t first, int64_t last, int64_t n, int64_t width, int adds) {
    for (int64_t unit = first; unit < last; unit++) {
        const real *restrict normal = h + unit * width;
        real *restrict of_unit = grad + unit * width;
        real along = sum_of(of_unit, normal, n), all = sum_of(of_unit, 0, n);
        gamma_grad[unit] = adds ? gamma_grad[unit] + along : along;
        beta_grad[unit] = adds ? beta_grad[unit] + all : all;
        real scale = (gamma ? gamma[unit] : 1) * inverse[unit];
        along /= (real)n, all /= (real)n;
        for (int64_t row = 0; row < n; row++) of_unit[row] = (of_unit[row] - all - normal[row] * along) * scale;
    }
}

static void layer_norm_back(const real *gamma, const real *restrict h, const real *restrict inverse, real *restrict grad,
                            real *gamma_grad, real *beta_grad, real *restrict sums, int64_t units, int64_t n,
                            int64_t width, int adds) {
    real *restrict all = sums, *restrict along = sums + width;
    memset(sums, 0, 2 * (size_t)width * sizeof(real));
    for (int64_t unit = 0; unit < units; unit++) {
        const real *restrict normal = h + unit * width;
        real *restrict of_unit = grad + unit * width;
        real of_gamma = sum_of(of_unit, normal, n), of_beta = sum_of(of_unit, 0, n), g = gamma ? gamma[unit] : 1;
        gamma_grad[unit] = adds ? gamma_grad[unit] + of_gamma : of_gamma;
        beta_grad[unit] = adds ? beta_grad[unit] + of_beta : of_beta;
        for (int64_t row = 0; row < width; row++) {
            of_unit[row] *= g;
            all[row] += of_unit[row];
            along[row] += of_unit[row] * normal[row];
        }
    }
    for (int64_t row = 0; row < width; row++) all[row] /= (real)units, along[row] /= (real)units;
    for (int64_t unit = 0; unit < units; unit++)
        for (int64_t row = 0; row < width; row++) {
            int64_t at = unit * width + row;
            grad[at] = (grad[at] - all[row] - h[at] * along[row]) * inverse[row];
        }
}
