"""Any document as text: nothing of it is lost without a word."""

from spectrain.answers.text import document_lines

DOCUMENT = {
    "times": [0.0, 10.0],
    "test_loss": [1.0, 0.25],
    "kappa": 2.0,
    "edges": [[0.0, 1.0]],
    "threshold": None,
    "label": "flow",
    "outliers": [{"value": 3.0, "overlap": 0.5}, {"value": 4.0, "overlap": None, "weight": 1.5}],
    "none": [],
    "hessian": {"atom_at_zero": 0.5, "bulk": [1.0, 2.0, 3.0]},
    "error": 1.25e-12,
}


def test_lists_of_one_length_are_columns_and_numbers_have_lines():
    assert [line.split() for line in document_lines(DOCUMENT) if line.strip()] == [
        ["times", "test", "loss"],
        ["0", "1"],
        ["10", "0.25"],
        ["kappa", "2"],
        ["edges", "in", "the", "document", "(--json)"],
        ["threshold", "unknown"],
        ["label", "flow"],
        ["outliers"],
        ["value", "overlap", "weight"],
        ["3", "0.5", "unknown"],
        ["4", "unknown", "1.5"],
        ["none", "none"],
        ["hessian"],
        ["bulk"],
        ["1"],
        ["2"],
        ["3"],
        ["atom", "at", "zero", "0.5"],
        ["error", "1.2e-12"],
    ]


def test_columns_are_aligned():
    head, *rows = document_lines({"times": [0.0, 100.0], "loss": [1.0, 0.5]})
    assert [len(row) for row in rows] == [len(head)] * 2
