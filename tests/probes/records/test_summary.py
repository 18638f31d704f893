"""Records for people: in a few lines, in one, and as a table."""

import numpy as np
import torch
from torch import nn

import spectrain
from spectrain import LayerTable, Measurement, SpectralProbe
from spectrain.probes.records.record import Failure, Geometry, Record
from spectrain.theory.quantity import Quantity
from spectrain.theory.spectrum import Eigenpair, Spectrum


def pair(value, error=float("nan")):
    return Eigenpair(value, 0.0, sampling_error=error)


def test_a_summary_says_what_there_is_and_what_is_missing():
    spectrum = Spectrum("hessian", "all", 90, (pair(2.5, 0.125),), (pair(-0.5),))
    layers = tuple(f"layer{i}" for i in range(9))
    record = Record(
        40,
        epoch=2.0,
        measured=Geometry(
            (
                Quantity.number("loss", 0.5, "loss", 0.03),
                Quantity.number("sharpness", 2.5, "loss", threshold=20.0),
                Quantity("layer_trace", np.arange(9.0), "loss", (layers,)),
            ),
            (spectrum,),
        ),
        predicted=Geometry((Quantity.number("loss", 0.4, "loss"),)),
        failures=(Failure("spectra", "ValueError: no", "information", "all"),),
    )
    assert record.summary().split("\n") == [
        "step 40, epoch 2",
        "  loss 0.5 ± 0.03 (predicted 0.4), sharpness 2.5 (threshold 20)",
        "  Hessian, all: 90 eigenvalues, largest 2.5 ± 0.12, smallest -0.5",
        "  layer trace (loss): layer0 0, layer1 1, layer2 2, layer3 3, layer4 4, layer5 5, "
        "and 3 more",
        "  failed: information, all: ValueError: no",
    ]
    assert repr(record) == "Record(step 40, loss 0.5, 1 spectrum, 3 quantities, 1 failure)"
    assert repr(spectrum) == "Spectrum(hessian, all, 90 eigenvalues, largest 2.5, smallest -0.5)"
    table = record.table()
    assert dict(zip(table["quantity"], table["value"], strict=True))["top_1"] == 2.5
    kinds = table["kind"][table["quantity"] == "sharpness"].tolist()
    assert kinds == ["measured", "threshold"]
    assert Record(3).summary() == "step 3"
    assert repr(Record(3)) == "Record(step 3)"


def test_a_folder_gets_both_sinks_and_they_are_closed_with_the_probe(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.randn(20, 3), torch.randint(2, (20,))
    with SpectralProbe(
        *(model, nn.CrossEntropyLoss(), data),
        logdir=tmp_path / "run", learning_rate=optimiser, measures=[LayerTable()],
        measurement=Measurement(eigenvalues=1, smallest=0),
    ) as probe:  # fmt: skip
        record = probe(0)
        assert "hessian trace" in record.summary()
    run = spectrain.load(tmp_path / "run")
    assert repr(run) == "Run(1 record, steps 0 to 0)"
    (stored,) = run.records
    assert stored.summary() == record.summary()
    assert stored.measured.quantity("sharpness").threshold == np.array(20.0)
    assert [path.name.split(".")[0] for path in (tmp_path / "run").iterdir()].count("events") == 1
    assert probe.citation() == run.citation()
    for arxiv in ("2105.06595", "2103.00065"):
        assert arxiv in run.citation()
    assert "2207.14484" not in run.citation()
    probe.close()  # a second time
    assert not probe.sinks[0]._sinks
