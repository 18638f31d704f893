import random

import pytest
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as by_bytes

from spectrain.views.sinks.crc32c import crc32c


def test_the_check_value_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"") == 0


@pytest.mark.parametrize("length", [*range(1, 10), 63, 64, 65, 128, 129, 1000, 4096, 4097])
def test_it_is_the_checksum_of_one_byte_after_the_other(length):
    data = random.Random(length).randbytes(length)
    assert crc32c(data) == by_bytes(data)
