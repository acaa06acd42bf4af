"""Arrays from a folder that may be a stranger's."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from nnlab.folder import FolderError
from nnlab.report.arrays import read_arrays


def test_arrays_of_numbers_truth_and_text_come_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"]), "c": np.array(True), "d": np.zeros((0, 2))}
    arrays["e"] = np.asfortranarray(np.arange(6).reshape(3, 2))
    np.savez(tmp_path / "good.npz", **arrays)
    found = read_arrays(tmp_path / "good.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def npy(shape="(2,)", dtype="'<f8'", content=bytes(16)):
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def archive(content, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        file.writestr("a.npy", content)
    return made.getvalue()


class Trap:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


CASES = {
    "no archive": b"PK nonsense",
    "empty": b"",
    "half": archive(npy())[:60],
    "pickle": pickle.dumps(Trap()),
    "objects": archive(npy("(1,)", "'|O'", pickle.dumps(Trap()))),
    "a terabyte": archive(npy("(137438953472,)")),
    "more than 64 bits": archive(npy("(1180591620717411303424,)")),
    "negative": archive(npy("(-2, -1)")),
    "too short": archive(npy(content=bytes(8))),
    "bomb": archive(npy("(33554432,)", "'|u1'", bytes(2**25)), zipfile.ZIP_DEFLATED),
    "code for a header": archive(npy("__import__('os')")),
    "dates": archive(npy("(2,)", "'<M8[s]'")),
    "another version": archive(b"\x93NUMPY\x09\x00" + npy()[8:]),
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_is_no_plain_array_is_refused_with_the_files_name(tmp_path, case):
    path = tmp_path / "grid.npz"
    path.write_bytes(CASES[case])
    with pytest.raises(FolderError, match=r"grid\.npz"):
        read_arrays(path)


def test_a_link_is_not_followed(tmp_path):
    np.savez(tmp_path / "real.npz", a=np.zeros(2))
    (tmp_path / "grid.npz").symlink_to("real.npz")
    with pytest.raises(FolderError, match="links are not followed"):
        read_arrays(tmp_path / "grid.npz")
