import logging
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgecifar.chatter import diverted


def test_what_python_and_c_print_goes_to_the_log_alone(capfd, caplog):
    caplog.set_level(logging.DEBUG, logger="edgecifar.chatter")
    with diverted() as chatter:
        print("from Python")  # noqa: T201
        os.write(1, b"from C on 1\n")
        os.write(2, b"from C on 2\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        warnings.warn("a warning", UserWarning, stacklevel=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    for text in ("from Python", "from C on 1", "from C on 2", "from a child", "a warning"):
        assert text in chatter.text
        assert text in caplog.text


def test_afterwards_everything_prints_again(capfd):
    with pytest.raises(ValueError, match="stop"), diverted():
        raise ValueError("stop")
    print("from Python", flush=True)  # noqa: T201
    os.write(2, b"from C\n")
    captured = capfd.readouterr()
    assert "from Python" in captured.out
    assert "from C" in captured.err


def test_threads_that_divert_at_one_time_leave_the_descriptors_as_they_were() -> None:
    before = os.fstat(1).st_ino, os.fstat(2).st_ino

    def divert(number: int) -> str:
        with diverted() as chatter:
            os.write(1, f"thread {number}\n".encode())
            time.sleep(0.005)
        return chatter.text

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(divert, range(24)))
    assert told == [f"thread {number}" for number in range(24)]
    assert (os.fstat(1).st_ino, os.fstat(2).st_ino) == before
