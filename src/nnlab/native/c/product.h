/* Products of small matrices: blocks of the result stay in registers while the sum runs. */
#include "numbers.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
/* numbers in a vector */
#define LANES ((int64_t)(VECTOR_BYTES / sizeof(real)))
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
/* one that lies among other numbers: on a vector boundary, or anywhere */
typedef real aligned_vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real loose_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* The next multiple of LANES. */
INLINE int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* A left factor: element (m, k) is at[m * row + k * column]. */
typedef struct {
    const real *at;
    int64_t row, column;
} Factor;

/* `rows` rows and `vecs` vectors of c = start + a b, or of c += a b. The numbers of both are constants where this is
   called, so that the loops over them vanish and the sums are registers. */
INLINE void block(const int rows, const int vecs, int64_t depth, Factor a, const real *restrict b, int64_t ldb,
                  real *restrict c, int64_t ldc, const real *start, const int adds) {
    vec sum[12][4];
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++)
            sum[m][v] = adds ? (vec)*(const aligned_vec *)(c + m * ldc + v * LANES) : (vec){0} + (start ? start[m] : 0);
    for (int64_t k = 0; k < depth; k++) {
        const real *left = a.at + k * a.column, *right = b + k * ldb;
        vec line[4];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) line[v] = *(const aligned_vec *)(right + v * LANES);
#pragma GCC unroll 12
        for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) sum[m][v] += left[m * a.row] * line[v];
    }
#pragma GCC unroll 12
    for (int m = 0; m < rows; m++)
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) *(aligned_vec *)(c + m * ldc + v * LANES) = sum[m][v];
}

/* Rows that a block can have for `vecs` vectors: as many as there are registers for, which are 32 or 16. */
#if VECTOR_BYTES == 64
#define MOST_ROWS(vecs) ((vecs) == 4 ? 6 : (vecs) == 3 ? 8 : 12)
#else
#define MOST_ROWS(vecs) ((vecs) == 4 ? 3 : (vecs) == 3 ? 4 : (vecs) == 2 ? 6 : 8)
#endif

/* Rows [first, last) of a strip that is `vecs` vectors wide. */
INLINE void strip(const int vecs, int64_t first, int64_t last, int64_t depth, Factor a, const real *b, int64_t ldb,
                  real *c, int64_t ldc, const real *start, const int adds) {
    int64_t m = first;
#define BLOCKS(rows)                                                                                                 \
    for (; m + (rows) <= last; m += (rows))                                                                          \
        block(rows, vecs, depth, (Factor){a.at + m * a.row, a.row, a.column}, b, ldb, c + m * ldc, ldc,               \
              start ? start + m : 0, adds);
    BLOCKS(MOST_ROWS(vecs))
    BLOCKS(4)
    BLOCKS(2)
    BLOCKS(1)
#undef BLOCKS
}

/* Rows [first, last) of c = start + a b (`start` holds a number for each row, or is NULL for 0), or of c += a b.
   b has `depth` rows and c as many columns as b, a multiple of LANES; both lie on vector boundaries. */
static void product(int64_t first, int64_t last, int64_t columns, int64_t depth, Factor a, const real *b, int64_t ldb,
                    real *c, int64_t ldc, const real *start, int adds) {
    for (int64_t at = 0; at < columns; at += 4 * LANES) {
        int64_t vecs = (columns - at) / LANES;
#define STRIP(number)                                                                                                \
    adds ? strip(number, first, last, depth, a, b + at, ldb, c + at, ldc, 0, 1)                                      \
         : strip(number, first, last, depth, a, b + at, ldb, c + at, ldc, start, 0)
        if (vecs >= 4) STRIP(4);
        else if (vecs == 3) STRIP(3);
        else if (vecs == 2) STRIP(2);
        else STRIP(1);
#undef STRIP
    }
}

/* The sum of a vector's numbers: of its halves, of the halves of their sum, and so on. */
INLINE real total_of(vec sum) {
    real part[LANES] __attribute__((aligned(VECTOR_BYTES)));
    *(aligned_vec *)part = sum;
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; lane++) part[lane] += part[lane + half];
    return part[0];
}

/* sum of x y over n numbers anywhere in memory; with y NULL, of x. A sum for each lane: C adds in order, and would take
   a number at a time. */
static real sum_of(const real *x, const real *y, int64_t n) {
    vec sum = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec one = *(const loose_vec *)(x + i);
        sum += y ? one * (vec)*(const loose_vec *)(y + i) : one;
    }
    real total = total_of(sum);
    for (; i < n; i++) total += y ? x[i] * y[i] : x[i];
    return total;
}

/* The same, added to a number or in its place. */
static void sum_to(real *to, const real *x, const real *y, int64_t n, int adds) {
    real sum = sum_of(x, y, n);
    *to = adds ? *to + sum : sum;
}

/* b[column][row] = a[row][column] for rows [first, last). Not inlined: in the midst of a whole step a compiler
   keeps in memory what the inner loop counts with. */
static __attribute__((noinline)) void transpose(const real *restrict a, int64_t lda, real *restrict b, int64_t ldb,
                                                int64_t first, int64_t last, int64_t columns) {
    for (int64_t at = first; at < last; at += 16) {
        int64_t end = at + 16 < last ? at + 16 : last;
        for (int64_t column = 0; column < columns; column++)
            for (int64_t row = at; row < end; row++) b[column * ldb + row] = a[row * lda + column];
    }
}
