"""How GPAW is built by `make gpaw`: a C++ compiler is enough; OpenBLAS, FFTW and libxc are linked where they are."""

import subprocess


def links(library: str, header: str | None = None) -> bool:
    """Whether the compiler finds a library, and its header."""
    included = [] if header is None else ["-include", header]
    words = ["g++", "-x", "c++", "-shared", "-fPIC", *included, "/dev/null", "-o", "/dev/null", f"-l{library}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


compiler = "g++"
mpi = False
scalapack = False
fftw = links("fftw3", "fftw3.h")
noblas = not links("openblas")
nolibxc = not links("xc", "xc.h")
libraries = [name for name, is_there in (("openblas", not noblas), ("xc", not nolibxc), ("fftw3", fftw)) if is_there]
