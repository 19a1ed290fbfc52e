"""Raw files written and read in one call, for tests of all that comes after."""

import pytest

from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.errors import DnapairError

FASTA = ">a\nACGT\n>b\nGGGG\n>c\nTTTT\n>d\nCCCC\n"


TABLE = "id1,id2,label\na,b,1\nb,c,0\n"


def read(folder, reading=Reading(), tables=None, fastas=None, **files):  # noqa: B008 # it is immutable
    """Write files, whose names have __ for the dot, and read them."""
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("__", ".")).write_bytes(data)
    return read_dataset(find_files(folder, tables, fastas), reading)


def as_read(dataset):
    """Write each pair as sequence, sequence, label."""
    return [
        (dataset.sequences[row1], dataset.sequences[row2], label)
        for row1, row2, label in dataset.pairs.itertuples(index=False)
    ]


def extra(dataset, name):
    return dataset.extra_columns([name], "", "")[name].tolist()


def message_of(folder, *arguments, **files):
    with pytest.raises(DnapairError) as caught:
        read(folder, *arguments, **files)
    return str(caught.value).replace(f"{folder}/", "")
