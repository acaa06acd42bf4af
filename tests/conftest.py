import atexit
import os
import shutil
import tempfile

# One thread a test process: the suite is often run beside other work, where OpenMP's waiting threads cost most.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What `nnlab tune` has found on this machine must not decide what a test sees.
os.environ["NNLAB_CACHE"] = tempfile.mkdtemp(prefix="nnlab-tests-")
atexit.register(shutil.rmtree, os.environ["NNLAB_CACHE"], ignore_errors=True)
