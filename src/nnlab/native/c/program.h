/* What a call is given; nnlab.native.program fills it in with the same fields in the same order. */

typedef struct {
    real *value; /* NULL where the layer has none */
    real *grad;  /* where the last step of a call leaves its gradient */
    real *state[3];
    int64_t decays;
} Parameter;

/* A linear layer, then norm, activation and dropout, each or not. */
enum { LINEAR_BIAS, GAMMA, BETA, SLOPE, OF_UNITS };
typedef struct {
    int64_t inputs, outputs;
    Parameter weight;    /* [outputs][inputs] */
    Parameter of_units[OF_UNITS]; /* a number for each output; PReLU's slope may be one for all */
    int64_t num_slopes;
    Norm norm;
    Activation activation;
    const real *masks;      /* dropout's, [rows][outputs]; NULL without dropout */
} Layer;

typedef struct {
    int64_t num_layers, num_inputs, num_outputs, num_rows;
    int64_t step_rows;  /* of an update */
    int64_t batch_size; /* of the batches whose gradients add up to an update's; the loss is a mean over the rows of one,
                           and so is what batch norm computes */
    int64_t num_threads, by_units;
    const Layer *layers;
    const real *inputs; /* [num_rows][num_inputs] */
    const real *target; /* [num_rows][num_outputs], or NULL */
    const int64_t *codes; /* the class of each row, or NULL */
    const real *row_weight; /* of each row, or NULL */
    const int64_t *order;   /* the rows' order in this epoch, or NULL */
    int64_t first_mask_row; /* the place in the epoch of the masks' first row */
    real *predictions;      /* [num_rows][num_outputs] in the epoch's order, or NULL */
    real *losses;           /* of each step of the epoch */
    Loss loss;
    Optimizer optimizer;
    const double *coefficients; /* of each step of the epoch, [steps][num_coefficients] */
    int64_t num_coefficients;
    double l1, l2, clip_norm; /* clip_norm: infinite for none */
} Program;
