/* Training steps of a multilayer perceptron: gather, forward, loss, backward, clip, update; many in one call. A step's
   gradient is the sum of those of one batch or several.

   A tile is some rows of the batch. It lies units by rows: number (unit, row) at [unit * width + row], width being the
   number of rows rounded up to whole vectors; what is computed for the rows beyond the last has no effect. Threads
   share either the tiles of a batch, each with a gradient of its own, or the units of every layer (`by_units`). */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <sched.h>
#include <string.h>

#include "numbers.h"
#include "product.h"
#include "team.h"
#include "activation.h"
#include "loss.h"
#include "norm.h"
#include "update.h"
#include "program.h"

/* What one thread, or all together where they share units, compute with. Index 0 stands for the inputs. */
typedef struct {
    real *memory;
    real **output;      /* of each layer, units by rows */
    real **rows_output; /* the same, rows by units, of a layer before one that is not `sums_along_rows` */
    real **slope;       /* of the activation, and what dropout makes of it */
    real **normal;      /* what a norm has made of the output, units by rows */
    real **inverse;     /* one over its standard deviation, of each unit or row */
    real **below;       /* the derivative of PReLU's output with respect to its slope */
    real **weight_grad; /* [outputs][padded inputs] */
    real **unit_grad[OF_UNITS];
    real *at_output[2]; /* the derivative with respect to a layer's output, of two neighbouring layers */
    real *target;
    int64_t *codes;
    real *row_weight;
    real *sums; /* two for each row */
} Space;

typedef struct {
    const Program *program;
    int64_t first_step, num_steps, num_spaces;
    Space *spaces;
    double *loss, *penalty; /* of each thread, of steps with even and with odd numbers: one may still be read */
    double *squares;        /* of each thread */
    Meeting meeting;
    _Atomic int gate; /* 0 until all threads are there, then 1; 2 if one could not be had */
} Team;

static int64_t units_of(const Program *p, int64_t layer) { return layer ? p->layers[layer - 1].outputs : p->num_inputs; }

static int64_t tile_rows(const Program *p) { return p->by_units ? padded(p->batch_size) : 4 * LANES; }

static real *take(real **next, int64_t n) {
    real *from = *next;
    *next += padded(n);
    return from;
}

/* Give a space its parts of the memory; with none, count what is needed. */
static int64_t lay_out(const Program *p, Space *s) {
    int64_t rows = tile_rows(p), widest = 0;
    real *next = s->memory;
    for (int64_t l = 0; l <= p->num_layers; l++) {
        int64_t units = units_of(p, l);
        widest = units > widest ? units : widest;
        s->output[l] = take(&next, units * rows);
        s->rows_output[l] = take(&next, rows * padded(units));
        s->slope[l] = take(&next, units * rows);
        if (l) {
            int has_norm = p->layers[l - 1].norm.kind != NO_NORM;
            s->weight_grad[l] = take(&next, units * padded(p->layers[l - 1].inputs));
            for (int i = 0; i < OF_UNITS; i++) s->unit_grad[i][l] = take(&next, units);
            s->normal[l] = take(&next, has_norm ? units * rows : 0);
            s->inverse[l] = take(&next, has_norm ? (units > rows ? units : rows) : 0);
            s->below[l] = take(&next, p->layers[l - 1].activation.kind == PRELU ? units * rows : 0);
        }
    }
    s->at_output[0] = take(&next, widest * rows);
    s->at_output[1] = take(&next, widest * rows);
    s->target = take(&next, p->num_outputs * rows);
    s->codes = (int64_t *)take(&next, rows * (int64_t)(sizeof(int64_t) / sizeof(real)));
    s->row_weight = take(&next, rows);
    s->sums = take(&next, 2 * rows);
    return next - s->memory;
}

static int make_space(const Program *p, Space *s) {
    s->memory = 0;
    real ***lists[] = {&s->output, &s->rows_output, &s->slope, &s->normal, &s->inverse, &s->below, &s->weight_grad};
    size_t num_lists = sizeof(lists) / sizeof(*lists), length = (size_t)p->num_layers + 1;
    s->output = calloc((num_lists + OF_UNITS) * length, sizeof(real *));
    if (!s->output) return 0;
    for (size_t i = 0; i < num_lists; i++) *lists[i] = s->output + i * length;
    for (size_t i = 0; i < OF_UNITS; i++) s->unit_grad[i] = s->output + (num_lists + i) * length;
    size_t size = (size_t)lay_out(p, s) * sizeof(real);
    s->memory = aligned_alloc(64, (size + 63) / 64 * 64);
    if (!s->memory) return 0;
    memset(s->memory, 0, size);
    lay_out(p, s);
    return 1;
}

static void free_space(Space *s) {
    free(s->memory);
    free(s->output);
}

/* ---- one tile -------------------------------------------------------------------------------------------------- */

/* Where some rows of a batch are: `order` holds the numbers of the data's rows, or is NULL for `first` onwards. */
typedef struct {
    const int64_t *order;
    int64_t first, number, width;
} Rows;

static int64_t data_row(Rows rows, int64_t row) { return rows.order ? rows.order[row] : rows.first + row; }

static void gather(const Program *p, Space *s, Rows rows) {
    int64_t num_inputs = p->num_inputs, ld = padded(num_inputs), num_outputs = p->num_outputs;
    for (int64_t row = 0; row < rows.number; row++) {
        int64_t from = data_row(rows, row);
        memcpy(s->rows_output[0] + row * ld, p->inputs + from * num_inputs, (size_t)num_inputs * sizeof(real));
        if (p->codes) s->codes[row] = p->codes[from];
        else
            for (int64_t o = 0; o < num_outputs; o++)
                s->target[o * rows.width + row] = p->target[from * num_outputs + o];
        if (p->row_weight) s->row_weight[row] = p->row_weight[from];
    }
    transpose(s->rows_output[0], ld, s->output[0], rows.width, 0, rows.number, num_inputs);
}

/* Multiply what an activation gave, its slope, and `below` where there is one by the batch's dropout mask, which lies
   rows by units. */
static void mask(const real *restrict masks, real *restrict a, real *restrict slope, real *restrict below, Rows rows,
                 int64_t units, Part part) {
    for (int64_t unit = part.first; unit < part.last; unit++)
        for (int64_t row = 0; row < rows.number; row++) {
            real factor = masks[row * units + unit];
            a[unit * rows.width + row] *= factor;
            slope[unit * rows.width + row] *= factor;
            if (below) below[unit * rows.width + row] *= factor;
        }
}

static void normalize(const Program *p, Space *s, int64_t l, Rows rows, Part part) {
    const Layer *layer = p->layers + l - 1;
    const real *gamma = layer->of_units[GAMMA].value, *beta = layer->of_units[BETA].value;
    if (layer->norm.kind == BATCH_NORM)
        batch_norm(&layer->norm, gamma, beta, s->output[l], s->normal[l], s->inverse[l], part.first, part.last,
                   rows.number, rows.width);
    if (layer->norm.kind == LAYER_NORM)
        layer_norm(&layer->norm, gamma, beta, s->output[l], s->normal[l], s->inverse[l], s->sums, layer->outputs,
                   rows.width);
}

static void activate_units(const Layer *layer, Space *s, int64_t l, int64_t width, Part part) {
    int64_t from = part.first * width;
    if (layer->activation.kind != PRELU) {
        activate(&layer->activation, s->output[l] + from, s->slope[l] + from, (part.last - part.first) * width);
        return;
    }
    const real *w = layer->of_units[SLOPE].value;
    for (int64_t unit = part.first; unit < part.last; unit++, from += width)
        prelu(w[layer->num_slopes == 1 ? 0 : unit], s->output[l] + from, s->slope[l] + from, s->below[l] + from, width);
}

/* Whether the gradient of a layer's weight is summed along the rows, a number at a time. Where inputs are few, vectors of
   its rows would be nearly empty; where outputs are few, it is sooner than to turn the inputs to rows by units. */
enum { FEW = 4 };
static int sums_along_rows(const Layer *layer) { return layer->inputs <= FEW || layer->outputs <= FEW; }

static void forward(const Program *p, Space *s, int64_t l, Rows rows, int64_t mask_row, Part part) {
    const Layer *layer = p->layers + l - 1;
    int64_t width = rows.width, from = part.first * width, n = (part.last - part.first) * width;
    product(part.first, part.last, width, layer->inputs, (Factor){layer->weight.value, layer->inputs, 1},
            s->output[l - 1], width, s->output[l], width, layer->of_units[LINEAR_BIAS].value, 0);
    normalize(p, s, l, rows, part);
    if (layer->activation.kind) activate_units(layer, s, l, width, part);
    if (layer->masks) {
        if (!layer->activation.kind)
            for (int64_t i = from; i < from + n; i++) s->slope[l][i] = 1;
        mask(layer->masks + mask_row * layer->outputs, s->output[l], s->slope[l],
             layer->activation.kind == PRELU ? s->below[l] : 0, rows, layer->outputs, part);
    }
    if (l < p->num_layers && !sums_along_rows(layer + 1))
        transpose(s->output[l], width, s->rows_output[l], padded(layer->outputs), part.first, part.last, rows.number);
}

static void add_weight_gradient(const Program *p, Space *s, int64_t l, const real *restrict grad, Rows rows, int adds,
                                Part part) {
    const Layer *layer = p->layers + l - 1;
    int64_t ld = padded(layer->inputs);
    if (!sums_along_rows(layer))
        product(part.first, part.last, ld, rows.number, (Factor){grad, rows.width, 1}, s->rows_output[l - 1], ld,
                s->weight_grad[l], ld, 0, adds);
    for (int64_t unit = part.first; unit < part.last; unit++) {
        const real *of_unit = grad + unit * rows.width;
        for (int64_t input = 0; input < layer->inputs && sums_along_rows(layer); input++)
            sum_to(s->weight_grad[l] + unit * ld + input, of_unit, s->output[l - 1] + input * rows.width, rows.number,
                   adds);
        sum_to(s->unit_grad[LINEAR_BIAS][l] + unit, of_unit, 0, rows.number, adds);
    }
}

/* From the derivative with respect to what a layer put out to that with respect to its linear part. */
static void back_to_linear(const Program *p, Space *s, int64_t l, real *restrict grad, Rows rows, int adds, Part part) {
    const Layer *layer = p->layers + l - 1;
    const real *restrict slope = s->slope[l], *gamma = layer->of_units[GAMMA].value;
    real *gamma_grad = s->unit_grad[GAMMA][l], *beta_grad = s->unit_grad[BETA][l];
    if (layer->activation.kind == PRELU)
        for (int64_t unit = part.first; unit < part.last; unit++) {
            int64_t at = unit * rows.width;
            sum_to(s->unit_grad[SLOPE][l] + unit, grad + at, s->below[l] + at, rows.number, adds);
        }
    if (layer->activation.kind || layer->masks)
        for (int64_t i = part.first * rows.width; i < part.last * rows.width; i++) grad[i] *= slope[i];
    if (layer->norm.kind == BATCH_NORM)
        batch_norm_back(gamma, s->normal[l], s->inverse[l], grad, gamma_grad, beta_grad, part.first, part.last,
                        rows.number, rows.width, adds);
    if (layer->norm.kind == LAYER_NORM)
        layer_norm_back(gamma, s->normal[l], s->inverse[l], grad, gamma_grad, beta_grad, s->sums, layer->outputs,
                        rows.number, rows.width, adds);
}

/* The loss at the outputs and its derivative; returns the tile's part of the step's loss. */
static double at_outputs(const Program *p, Space *s, real *grad, Rows rows, int64_t epoch_row, double scale) {
    int64_t num_outputs = p->num_outputs, width = rows.width;
    const real *output = s->output[p->num_layers];
    if (p->predictions)
        for (int64_t row = 0; row < rows.number; row++)
            for (int64_t o = 0; o < num_outputs; o++)
                p->predictions[(epoch_row + row) * num_outputs + o] = output[o * width + row];
    return add_loss(&p->loss, num_outputs, rows.number, width, output, s->target, s->codes,
                    p->row_weight ? s->row_weight : 0, scale, grad);
}

/* Forward and back through some rows; the gradient is added to the space's, or replaces it. Returns their part of the
   loss. `number` of `parts` threads work on it; those that have no space of their own meet after each layer. */
static double tile(Team *team, Space *s, int64_t number, int64_t parts, Rows rows, int64_t epoch_row, double scale,
                   int adds) {
    const Program *p = team->program;
    int64_t last = p->num_layers;
    double loss = 0;
#define TOGETHER if (parts > 1) meet(&team->meeting)
    if (adds) TOGETHER; /* the rows before these may still be looked at */
    if (number == 0) {
        gather(p, s, rows);
        for (int64_t l = 0; l < last; l++)
            if (p->layers[l].norm.num_batches) ++*p->layers[l].norm.num_batches;
    }
    TOGETHER;
    for (int64_t l = 1; l <= last; l++) {
        forward(p, s, l, rows, epoch_row - p->first_mask_row, part_of(p->layers[l - 1].outputs, number, parts));
        TOGETHER;
    }
    real *grad = s->at_output[last & 1];
    if (number == 0) {
        loss = at_outputs(p, s, grad, rows, epoch_row, scale);
        back_to_linear(p, s, last, grad, rows, adds, (Part){0, p->num_outputs});
    }
    TOGETHER;
    for (int64_t l = last; l >= 1; l--) {
        const Layer *layer = p->layers + l - 1;
        add_weight_gradient(p, s, l, grad, rows, adds, part_of(layer->outputs, number, parts));
        if (l == 1) break;
        real *before = s->at_output[(l - 1) & 1];
        Part part = part_of(layer->inputs, number, parts);
        product(part.first, part.last, rows.width, layer->outputs, (Factor){layer->weight.value, 1, layer->inputs},
                grad, rows.width, before, rows.width, 0, 0);
        back_to_linear(p, s, l - 1, before, rows, adds, part);
        TOGETHER;
        grad = before;
    }
#undef TOGETHER
    return loss;
}

/* ---- one step -------------------------------------------------------------------------------------------------- */

/* What a term of a batch's loss counts: the batch's share of the step's rows, over the number of terms or over the sum
   of their rows' weights. */
static double scale_of(const Program *p, Part step, Part batch) {
    int64_t rows = batch.last - batch.first;
    double share = (double)rows / (double)(step.last - step.first), sum = 0;
    if (!p->row_weight) return share / (double)(p->codes ? rows : rows * p->num_outputs);
    for (int64_t row = batch.first; row < batch.last; row++) sum += p->row_weight[p->order ? p->order[row] : row];
    return share / sum;
}

static void clear_gradient(const Program *p, Space *s) {
    for (int64_t l = 1; l <= p->num_layers; l++) {
        memset(s->weight_grad[l], 0, (size_t)(units_of(p, l) * padded(units_of(p, l - 1))) * sizeof(real));
        for (int i = 0; i < OF_UNITS; i++) memset(s->unit_grad[i][l], 0, (size_t)units_of(p, l) * sizeof(real));
    }
}

/* A thread's part of a batch's gradient, which is added to that of the batches before it in the step. Returns its part
   of the loss. */
static double gradient(Team *team, int64_t number, Part step, Part batch) {
    const Program *p = team->program;
    int64_t rows = tile_rows(p), tiles = (batch.last - batch.first + rows - 1) / rows;
    Space *s = team->spaces + (p->by_units ? 0 : number);
    int64_t parts = p->by_units ? p->num_threads : 1;
    Part own = p->by_units ? (Part){0, tiles} : part_of(tiles, number, p->num_threads);
    double scale = scale_of(p, step, batch), loss = 0;
    int is_later = batch.first > step.first;
    for (int64_t t = own.first; t < own.last; t++) {
        int64_t row = batch.first + t * rows, n = batch.last - row < rows ? batch.last - row : rows;
        Rows of_tile = {p->order ? p->order + row : 0, row, n, padded(n)};
        loss += tile(team, s, p->by_units ? number : 0, parts, of_tile, row, scale, is_later || t > own.first);
    }
    if (own.first == own.last && !is_later) clear_gradient(p, s); /* a thread without a tile adds nothing */
    return loss;
}

static void add_to(real *restrict x, const real *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

static int is_shared(const Layer *layer, int i) { return i == SLOPE && layer->num_slopes == 1; }

/* One's own part of the numbers of a parameter of the units, `part` being that of the units. What all units share is
   the last thread's. */
static Part own_numbers(const Layer *layer, int i, Part part) {
    return is_shared(layer, i) ? (Part){0, part.last == layer->outputs} : part;
}

/* Add up what the threads have, for the units of one's own part; and what the units have, where they share a number. */
static void add_up(Team *team, int64_t l, Part part) {
    const Layer *layer = team->program->layers + l - 1;
    int64_t ld = padded(layer->inputs), n = part.last - part.first;
    const Space *sum = team->spaces, *end = sum + team->num_spaces;
    for (const Space *other = sum + 1; other < end; other++) {
        add_to(sum->weight_grad[l] + part.first * ld, other->weight_grad[l] + part.first * ld, n * ld);
        for (int i = 0; i < OF_UNITS; i++)
            if (!is_shared(layer, i)) add_to(sum->unit_grad[i][l] + part.first, other->unit_grad[i][l] + part.first, n);
    }
    if (!is_shared(layer, SLOPE) || part.last < layer->outputs) return;
    real total = 0;
    for (const Space *one = sum; one < end; one++) total += sum_of(one->unit_grad[SLOPE][l], 0, layer->outputs);
    sum->unit_grad[SLOPE][l][0] = total;
}

/* Add the penalty's gradient, l1 sign(w) + l2 w; returns the penalty, l1 sum |w| + l2 sum w^2 / 2. */
static double add_penalty(const Program *p, real *restrict grad, const real *restrict w, int64_t n) {
    real l1 = (real)p->l1, l2 = (real)p->l2, sizes = 0;
    for (int64_t i = 0; i < n; i++) grad[i] += l1 * (real)((w[i] > 0) - (w[i] < 0)) + l2 * w[i];
    if (p->l1 > 0)
        for (int64_t i = 0; i < n; i++) sizes += w[i] < 0 ? -w[i] : w[i];
    return p->l1 * sizes + p->l2 / 2 * (double)sum_of(w, w, n);
}

static void times(real *x, real factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

/* Bring together what the threads have computed, add penalties, and find what it is to be clipped by. */
static real collect(Team *team, int64_t number, int64_t slot) {
    const Program *p = team->program;
    const Space *s = team->spaces;
    int penalized = p->l1 > 0 || p->l2 > 0, clipped = p->clip_norm < INFINITY;
    double penalty = 0, squares = 0;
    for (int64_t l = 1; l <= p->num_layers; l++) {
        const Layer *layer = p->layers + l - 1;
        int64_t n = layer->inputs, ld = padded(n);
        Part part = part_of(layer->outputs, number, p->num_threads);
        add_up(team, l, part);
        for (int64_t unit = part.first; unit < part.last && (penalized || clipped); unit++) {
            real *grad = s->weight_grad[l] + unit * ld;
            if (penalized) penalty += add_penalty(p, grad, layer->weight.value + unit * n, n);
            if (clipped) squares += (double)sum_of(grad, grad, n);
        }
        for (int i = 0; i < OF_UNITS && clipped; i++) {
            Part own = own_numbers(layer, i, part);
            const real *grad = s->unit_grad[i][l] + own.first;
            if (layer->of_units[i].value) squares += (double)sum_of(grad, grad, own.last - own.first);
        }
    }
    team->penalty[slot] = penalty;
    team->squares[number] = squares;
    if (!clipped) return 1;
    meet(&team->meeting);
    squares = 0;
    for (int64_t i = 0; i < p->num_threads; i++) squares += team->squares[i];
    double share = p->clip_norm / (sqrt(squares) + 1e-6); /* as torch.nn.utils.clip_grad_norm_ */
    return (real)(share < 1 ? share : share != share ? share : 1);
}

static void update_parameter(const Program *p, const double *c, const Parameter *w, const real *grad, int64_t from,
                             int64_t n) {
    real *s[3];
    for (int i = 0; i < 3; i++) s[i] = w->state[i] ? w->state[i] + from : 0;
    update(&p->optimizer, c, (int)w->decays, w->value + from, grad, s[0], s[1], s[2], n);
}

/* Clip and update the units of one's own part; `shows` leaves the gradient where the model's parameters have theirs. */
static void update_part(Team *team, int64_t number, int64_t step, real share, int shows) {
    const Program *p = team->program;
    const Space *s = team->spaces;
    const double *c = p->coefficients + step * p->num_coefficients;
    for (int64_t l = 1; l <= p->num_layers; l++) {
        const Layer *layer = p->layers + l - 1;
        int64_t n = layer->inputs, ld = padded(n);
        Part part = part_of(layer->outputs, number, p->num_threads);
        for (int64_t unit = part.first; unit < part.last; unit++) {
            real *grad = s->weight_grad[l] + unit * ld;
            if (share != 1) times(grad, share, n);
            if (shows) memcpy(layer->weight.grad + unit * n, grad, (size_t)n * sizeof(real));
            update_parameter(p, c, &layer->weight, grad, unit * n, n);
        }
        for (int i = 0; i < OF_UNITS; i++) {
            if (!layer->of_units[i].value) continue;
            Part own = own_numbers(layer, i, part);
            int64_t numbers = own.last - own.first;
            real *grad = s->unit_grad[i][l] + own.first;
            if (share != 1) times(grad, share, numbers);
            if (shows) memcpy(layer->of_units[i].grad + own.first, grad, (size_t)numbers * sizeof(real));
            update_parameter(p, c, layer->of_units + i, grad, own.first, numbers);
        }
    }
}

/* ---- a call ---------------------------------------------------------------------------------------------------- */

/* `n` rows from `first` on, or what is there of them before `end`. */
static Part rows_from(int64_t first, int64_t n, int64_t end) { return (Part){first, end - first < n ? end : first + n}; }

static void work(Team *team, int64_t number) {
    const Program *p = team->program;
    int64_t end = team->first_step + team->num_steps;
    for (int64_t step = team->first_step; step < end; step++) {
        Part rows = rows_from(step * p->step_rows, p->step_rows, p->num_rows);
        int64_t slots = (step & 1) * p->num_threads;
        double of_batches = 0;
        for (int64_t row = rows.first; row < rows.last; row += p->batch_size)
            of_batches += gradient(team, number, rows, rows_from(row, p->batch_size, rows.last));
        team->loss[slots + number] = of_batches;
        meet(&team->meeting);
        real share = collect(team, number, slots + number);
        update_part(team, number, step, share, step + 1 == end);
        meet(&team->meeting);
        if (number) continue;
        double loss = 0;
        for (int64_t i = slots; i < slots + p->num_threads; i++) loss += team->loss[i] + team->penalty[i];
        p->losses[step] = (real)loss;
    }
}

typedef struct {
    Team *team;
    int64_t number;
} Seat;

static void *sit_down(void *at) {
    Seat *seat = at;
    while (atomic_load(&seat->team->gate) == 0) sched_yield();
    if (atomic_load(&seat->team->gate) == 1) work(seat->team, seat->number);
    return 0;
}

/* Returns 0, or 2 where there are not as many threads to be had. */
static int run(Team *team, Seat *seats, pthread_t *threads) {
    int64_t wanted = team->program->num_threads, started = 1;
    for (; started < wanted; started++) {
        seats[started] = (Seat){team, started};
        if (pthread_create(threads + started, 0, sit_down, seats + started)) break;
    }
    atomic_store(&team->gate, started == wanted ? 1 : 2);
    if (started == wanted) work(team, 0);
    for (int64_t i = 1; i < started; i++) pthread_join(threads[i], 0);
    return started == wanted ? 0 : 2;
}

/* Do steps [first_step, first_step + num_steps) of an epoch. Returns 0; 1 where there is no memory, 2 where there are
   no threads: then nothing was done. */
int nnlab_steps(const Program *p, int64_t first_step, int64_t num_steps) {
    int64_t parts = p->num_threads, num_spaces = p->by_units ? 1 : parts, made = 0;
    Space *spaces = calloc((size_t)num_spaces, sizeof(Space));
    double *sums = calloc(5 * (size_t)parts, sizeof(double));
    Seat *seats = calloc((size_t)parts, sizeof(Seat));
    pthread_t *threads = calloc((size_t)parts, sizeof(pthread_t));
    int fails = !spaces || !sums || !seats || !threads;
    for (; !fails && made < num_spaces; made++) fails = !make_space(p, spaces + made);
    if (!fails) {
        Team team = {.program = p, .first_step = first_step, .num_steps = num_steps, .num_spaces = num_spaces};
        team.spaces = spaces, team.loss = sums, team.penalty = sums + 2 * parts, team.squares = sums + 4 * parts;
        team.meeting.size = parts;
        pthread_mutex_init(&team.meeting.mutex, 0);
        pthread_cond_init(&team.meeting.woken, 0);
        fails = run(&team, seats, threads);
        pthread_cond_destroy(&team.meeting.woken);
        pthread_mutex_destroy(&team.meeting.mutex);
    }
    for (int64_t i = 0; i < made; i++) free_space(spaces + i);
    free(spaces), free(sums), free(seats), free(threads);
    return fails;
}
