"""Citations of the software and of what was used."""

import re
from dataclasses import replace
from pathlib import Path

import yaml

import spectrain
from spectrain.probes.records.citation import AUTHORS, TITLE, bibtex
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.sources import sources
from spectrain.theory.quantity import Quantity
from spectrain.theory.source import Source

PAPER = Source("A. Ben One, B. Two", "On 50 % of {lots} & more_", "2502.15655", "spectra & edges")


def test_the_software_is_cited_as_the_citation_file_says():
    cff = yaml.safe_load((Path(__file__).parents[3] / "CITATION.cff").read_text("utf-8"))
    assert cff["title"] == TITLE
    assert [author["name"] for author in cff["authors"]] == [AUTHORS]
    text = bibtex([])
    assert text.startswith("@software{spectrain,\n")
    assert f"version = {{{spectrain.__version__}}}" in text
    assert text.count("@") == 1


def test_papers_have_keys_years_and_escaped_texts():
    old = replace(PAPER, arxiv="math/0403022")
    older = replace(PAPER, arxiv="cond-mat/9901001")
    text = bibtex([PAPER, replace(PAPER, title="again"), old, older])
    assert re.findall(r"@misc{(\w+),", text) == ["one2025", "one2025b", "one2004", "one1999"]
    assert "author = {A. Ben One and B. Two}" in text
    assert r"title = {{On 50 \% of {lots} \& more\_}}" in text
    assert "eprint = {2502.15655},\n  archivePrefix = {arXiv},\n  year = {2025}" in text
    for entry in text.split("\n\n"):
        assert entry.count("{") == entry.count("}")


def test_only_what_was_used_is_cited():
    assert sources([Record(0)]) == ()
    assert sources([Record(0, sources=(PAPER,))]) == ()  # nothing was predicted
    predicted = Record(0, sources=(PAPER,), predicted=Geometry())
    sharp = Quantity.number("sharpness", 1.0, "loss", threshold=2.0)
    found = sources([predicted, Record(1, measured=Geometry((sharp,)))])
    assert [each.arxiv for each in found] == [PAPER.arxiv, "2103.00065"]
