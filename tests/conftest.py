import os

# One thread a test process: the suite is often run beside other work, where OpenMP's waiting threads cost most.
os.environ.setdefault("OMP_NUM_THREADS", "1")
