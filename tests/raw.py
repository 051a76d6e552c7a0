"""Volumes as oasis-brains.org gives them, made without nibabel."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

TABLE = """\
ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV,nWBV,ASF,Delay
OAS1_0001_MR1,F,R,74,2,3,29,0.5,1344,0.743,1.306,N/A
OAS1_0002_MR1,M,R,28,,,,,1588,0.803,1.105,N/A
OAS1_0002_MR2,M,R,99,,,,3,1588,0.803,1.105,20
"""


def write_analyze(path: Path, array: np.ndarray) -> None:
    """ANALYZE 7.5 as OASIS-1 has it: big-endian, 16 bit, a trailing axis of 1, no word on orientation."""
    header = bytearray(348)
    struct.pack_into(">i", header, 0, 348)  # sizeof_hdr
    struct.pack_into(">ih", header, 32, 16384, 0)  # extents, session_error
    header[38:39] = b"r"  # regular
    struct.pack_into(">8h", header, 40, 4, *array.shape, 1, 0, 0, 0)  # dim
    struct.pack_into(">2h", header, 70, 4, 16)  # datatype: signed short, bitpix
    struct.pack_into(">8f", header, 76, 0, 1, 1, 1, 1, 0, 0, 0)  # pixdim
    struct.pack_into(">2i", header, 140, int(array.max()), int(array.min()))  # glmax, glmin
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".hdr").write_bytes(header)
    path.with_suffix(".img").write_bytes(array.astype(">i2").tobytes(order="F"))


def t88_stem(folder: Path, session: str, kind: str = "masked_gfc", images: str = "n4") -> Path:
    """Where a session's volume lies in a disc."""
    place = Path("FSL_SEG") if kind.endswith("fseg") else Path("PROCESSED", "MPRAGE", "T88_111")
    return folder / session / place / f"{session}_mpr_{images}_anon_111_t88_{kind}.x"


def head(seed: int) -> np.ndarray:
    """A volume that is different everywhere in the slab, 0 outside of it."""
    volume = np.zeros((176, 208, 176), dtype=np.int16)
    volume[30:150, 20:190, 60:105] = np.random.default_rng(seed).integers(300, 3000, (120, 170, 45))
    return volume


def write_person(folder: Path, session: str, seed: int, images: str = "n4", segmented: bool = True) -> None:
    volume = head(seed)
    write_analyze(t88_stem(folder, session, "masked_gfc", images), volume)
    if segmented:
        write_analyze(t88_stem(folder, session, "masked_gfc_fseg", images), np.ceil(volume / 1000))
