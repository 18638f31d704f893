import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import spectrain
from spectrain import cli
from spectrain.cli import main
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.record_file import RecordFile
from spectrain.theory.quantity import Quantity
from spectrain.training.systems import SYSTEMS
from spectrain.training_arguments import parse_training_arguments

COMMANDS = ("train", "figures", "export", "report", "demo", "board", "predict", "dynamics", "check")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(arguments, capsys):
    """The one line that a refused command writes."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dimensio", "3"], "--dimensio"),
        (["--second_layer", "[1]"], "--second_layer"),
        (["--mixture.snt", "3"], "--mixture.snt"),
        (["--epochs", "2.5"], "epochs"),
        (["--dtype", "float16"], "dtype"),
        (["--mixture.means", "[1, 2, 3]"], "mixture.means"),
        (["--mixture.means", "[[1, 0], [1]]"], "mixture.means: expected rows of equal length"),
        (["--mixture.means", "[[1, 0], [0, 1]]"], "weights: expected 2 (one a mean), got 3"),
        (["--mixture.weights", "[.5, .5, .5]"], "weights: expected positive numbers that sum to 1"),
        (["--mixture.snr", "0"], "snr: expected a positive number, got 0"),
        (["--aspect_ratio", "0"], "aspect_ratio: expected a positive number, got 0"),
        (["--dimension", "2"], "mixture.means: expected at most dimension = 2 coordinates, got 3"),
        (["--scale", "-1"], "scale"),
        (["--device", "abacus"], "device: expected one that torch can use here, got 'abacus'"),
        (["--system", "abacus"], "system: expected one of"),
        (["--system", "two-layer-mixture", "--activation", "step"], "activation"),
        (["nowhere.yaml"], "CONFIG: expected a YAML file, got 'nowhere.yaml'"),
    ],
)
def test_bad_flags_are_refused_by_name_in_one_line(arguments, words, capsys, empty_folder):
    assert words in refused(["train", *arguments], capsys)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("epoch: 3", "epoch"),
        ("mixture: {snt: 3}", "snt"),
        ("epochs: many", "epochs"),
        ("system: abacus", "system: expected one of"),
        ("system: two-layer-mixture\nscales: 1", "scales"),
        ("- 1", "CONFIG: expected keys and values"),
        ("a: [", "CONFIG: expected a YAML file"),
        ("", "CONFIG: expected keys and values"),
        ("system: ''", "system: expected one of"),
        ("seed: 3\nepochs: 1\nseed: 4", "seed is given twice"),
        ("mixture: {snr: 3, snr: 4}", "snr is given twice"),
        ("sedd: 3", "sedd: no such key; did you mean seed?"),
        ("seed: 2.5", "seed: expected a whole number, got 2.5"),
        ("dtype: float16", "dtype: expected one of 'float32', 'float64', got float16"),
        ("mixture: [3]", "mixture: expected keys and values, got [3]"),
        ("mixture:", "mixture: expected keys and values, got None"),
        ("probe: true", "probe: expected keys and values, got True"),
        ("resume: true", "resume: expected as a flag, got True"),
    ],
)
def test_bad_keys_in_a_file_are_refused_by_name_in_one_line(content, words, capsys, empty_folder):
    (empty_folder / "config.yaml").write_text(content)
    assert words in refused(["train", "config.yaml"], capsys)


@pytest.mark.parametrize("begun", [True, False])
def test_only_a_run_that_was_begun_is_said_to_be_kept(begun, monkeypatch, capsys, empty_folder):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", "runs/x/lock")

    monkeypatch.setattr("spectrain.training.run.run", denied)
    if begun:
        (empty_folder / "x").mkdir()
        (empty_folder / "x" / "config.yaml").write_text("seed: 0")
    assert main(["train", "--folder", "x"]) == 1
    said = capsys.readouterr().err
    assert "runs/x/lock: Permission denied" in said
    assert ("--resume goes on from there" in said) == begun


def test_flags_go_over_the_file_and_the_file_over_the_defaults(empty_folder):
    (empty_folder / "c.yaml").write_text("system: two-layer-mixture\nepochs: 3\nseed: 4\n")
    for arguments in (
        ["c.yaml", "--seed", "5", "--mixture.snr=2"],
        ["--seed", "5", "--mixture.snr=2", "c.yaml"],
        ["--seed", "5", "--config", "c.yaml", "--mixture.snr=2", "--seed=5"],
    ):
        parsed = parse_training_arguments(arguments)
        config = parsed.config
        assert config.system == "two-layer-mixture"
        assert (config.epochs, config.seed, config.mixture.snr) == (3, 5, 2.0)
        assert config.mixture.labels == (0, 0, 1, 1)
        assert not parsed.resume


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_printed_configuration_is_one_that_can_be_read(system, capsys, empty_folder):
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--system", system, "--print_config"])
    printed = capsys.readouterr().out
    (empty_folder / "c.yaml").write_text(printed)
    assert parse_training_arguments(["c.yaml"]).config == SYSTEMS[system]()
    assert yaml.safe_load(printed)["system"] == system


def test_resuming_takes_the_configuration_of_the_folder(empty_folder):
    config = SYSTEMS["two-layer-mixture"](seed=3, dimension=50)
    (empty_folder / "config.yaml").write_text(yaml.safe_dump(config.to_dict()))
    parsed = parse_training_arguments(["--resume", "--folder", str(empty_folder)])
    assert parsed.config == config
    assert parsed.resume
    assert parsed.folder == empty_folder


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["train", "--help"], ["board", "--help"], ["predict", "--help"]]
)
def test_help_answers_without_torch(arguments):
    program = (
        "import sys\n"
        "from spectrain.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)


def test_every_public_name_is_there():
    for name in spectrain.__all__:
        assert getattr(spectrain, name) is not None
    assert set(spectrain.__all__) <= set(dir(spectrain))
    with pytest.raises(AttributeError, match="abacus"):
        spectrain.abacus  # noqa: B018


def test_check_reports_agreement_with_the_independent_library(capsys):
    assert main(["check", "--seed", "1"]) == 0
    output = capsys.readouterr().out
    assert all(system in output for system in SYSTEMS)
    assert output.endswith("the libraries agree\n")


# Figures and the demo.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["figures", "--only", "moon"], "only: expected figures that need no run"),
        (["figures", "--only", "spectra"], "only: expected figures that need no run"),
        (["figures", "nowhere"], "run: expected a run folder or a data file, got 'nowhere'"),
        (["figures", "--onl", "spectra"], "--onl"),
        (["figures", "--only"], "only: expected a value, got none"),
        (["figures", "a", "b"], "b"),
        (["figures", "--columns", "3"], "columns"),
        (["export", "nowhere"], "run: expected a run folder or a data file, got 'nowhere'"),
        (["export"], "run"),
        (["report", "nowhere"], "run: expected a run folder or a data file, got 'nowhere'"),
        (["report", "--outputs", "x"], "--outputs"),
        (["demo", "--fast"], "--fast"),
        (["demo", "--quick", "yes"], "yes"),
        (["demo", "extra"], "extra"),
        (["demo", "--folder"], "folder: expected a value, got none"),
        (["board", "nowhere"], "logdir: expected a folder, got 'nowhere'"),
        (["board"], "logdir: expected a folder, or --compare RUN RUN"),
        (["board", ".", "--compare", "a", "b"], "logdir: expected a folder, or --compare RUN RUN"),
        (["board", "--compare", "."], "compare: expected two run folders or more"),
        (["board", "--compare", ".", ".."], "compare: expected run folders, with a records.jsonl"),
        (["predict"], "spec"),
        (["predict", "nowhere.json"], "SPEC: expected a JSON file"),
        (["predict", "nowhere.json", "--jason"], "--jason"),
        (["dynamics", "nowhere.toml", "--json"], "SPEC: expected a TOML file"),
        (["dynamics", "nowhere"], "SPEC: expected a JSON or TOML file"),
        (["dynamics", "a", "b"], "b"),
        (["check", "--seed", "many"], "seed"),
        (["check", "--sed", "1"], "--sed"),
        (["train", "--resume", "yes"], "yes"),
        (["train", "--folder", ""], "folder: expected a path, got ''"),
        (["train", "--folder", "nowhere", "--resume"], "folder: expected a run to go on with"),
        (["demo", "--folder", ""], "folder: expected a path, got ''"),
    ],
)
def test_bad_arguments_of_any_command_are_refused_by_name(arguments, words, capsys, empty_folder):
    assert words in refused(arguments, capsys)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("command", ["train", "export", "report", "figures"])
def test_what_the_system_refuses_is_told_in_one_line_with_the_path(command, capsys, empty_folder):
    """A name that is longer than any file system takes; whoever runs the tests may write."""
    (empty_folder / "records.jsonl").write_bytes(whole_record_file(empty_folder / "other.jsonl"))
    name = "x" * 300
    arguments = {
        "train": ["--folder", name],
        "export": [".", "--output", f"{name}/a.csv"],
        "report": [".", "--output", f"{name}/a.html"],
        "figures": [".", "--output", name],
    }[command]
    assert main([command, *arguments]) == 1
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert error.startswith("spectrain: error: ")
    assert name in error
    assert "File name too long" in error
    assert "--resume goes on from there" not in error  # for nothing was written there


def whole_record_file(path):
    file = RecordFile(path)
    file.write(Record(0, measured=Geometry((Quantity.number("loss", 0.5, "loss"),))))
    file.close()
    return path.read_bytes()


def test_figures_of_a_folder_that_holds_no_run_are_refused(capsys, empty_folder):
    (empty_folder / "empty").mkdir()
    assert "empty" in refused(["figures", "empty"], capsys)
    assert list((empty_folder / "empty").iterdir()) == []


def test_a_demo_over_another_one_is_refused(capsys, empty_folder):
    folder = empty_folder / "shown" / "softmax-mixture"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("system: softmax-mixture\n")
    refused_as = refused(["demo", "--quick", "--folder", "shown"], capsys)
    assert "folder: expected one without a run" in refused_as


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"spectrain {command}" in text
    assert "<" not in text  # no addresses of functions


def test_an_unknown_command_is_refused_with_one_that_is_like_it(capsys):
    assert "got 'abacus'\n" in refused(["abacus"], capsys)
    assert "got 'trian'; did you mean train?" in refused(["trian"], capsys)
    assert "--frob" in refused(["--frob"], capsys)
    assert "did you mean --columns?" in refused(["figures", "--column", "1"], capsys)


def test_the_bare_command_explains_itself_and_has_a_version(capsys):
    assert main([]) == 0
    assert set(COMMANDS) <= set(capsys.readouterr().out.split())
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spectrain {spectrain.__version__}\n"


@pytest.mark.slow
def test_a_run_and_its_figures_from_the_command_line(capsys, empty_folder):
    trained = ["--dimension", "30", "--epochs", "2", "--time", "0.4", "--folder", "a run"]
    assert main(["train", *trained]) == 0
    told = capsys.readouterr().out
    assert "3 records in a run" in told
    assert "spectrain board 'a run'\n" in told
    assert main(["figures", "a run", "--only", "gram-entries", "--columns", "1"]) == 0
    assert capsys.readouterr().out == "a run/figures/gram-entries.png\n"
    assert {path.name for path in (empty_folder / "a run" / "figures").iterdir()} == {
        "gram-entries.png",
        "gram-entries.pdf",
    }
    assert "only: expected figures of a run" in refused(
        ["figures", "a run", "--only", "phase-diagram"], capsys
    )


def test_figures_need_the_data_file_alone(capsys, empty_folder):
    config = {"dimension": 30}
    RecordFile(empty_folder / "records.jsonl", config).close()
    for run in (".", "records.jsonl"):
        assert main(["figures", run, "--only", "gram-entries", "--output", "there"]) == 0
    assert capsys.readouterr().out.split() == ["there/gram-entries.png"] * 2


def test_figures_of_a_run_are_those_that_show_something(capsys, empty_folder):
    file = RecordFile(empty_folder / "records.jsonl")
    assert main(["figures", "records.jsonl"]) == 0
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)
    file.write(Record(0, measured=Geometry((Quantity.number("loss", 0.5, "loss"),))))
    file.close()
    assert main(["figures", "records.jsonl"]) == 0
    assert capsys.readouterr().out == "figures/quantities.png\n"


def test_figures_and_export_of_a_run_do_without_torch(empty_folder):
    RecordFile(empty_folder / "records.jsonl").close()
    program = (
        "import sys\n"
        "from spectrain.cli import main\n"
        "assert main(['figures', '.', '--only', 'gram-entries', '--animate']) == 0\n"
        "assert main(['export', '.', '--format', 'npz']) == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)


def test_the_figures_that_need_no_run_go_where_they_are_asked_to(capsys, empty_folder, monkeypatch):
    from spectrain.figures import mixture

    monkeypatch.setattr(mixture, "FULL", mixture.Scale(30, 2, (3, 3), (1, 1)))
    wanted = ["static-transition", "phase-diagram"]
    assert main(["figures", "--output", "there", "--only", *wanted]) == 0
    assert capsys.readouterr().out.split() == [
        "there/static-transition.png",
        "there/phase-diagram.png",
    ]
    assert (empty_folder / "there" / "phase-diagram.pdf").is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dimensionn: 10\nepochs: x", "dimensionn: no such key; did you mean dimension?"),
        ("probe: {eigenvaluess: 2}", "probe.eigenvaluess: no such key; did you mean probe.eigenva"),
        ("training_samples: [3]", "training_samples: expected a whole number or null, got [3]"),
        (
            "mixture: {weightss: [1]}",
            "mixture.weightss: no such key; did you mean mixture.weights?",
        ),
    ],
)
def test_what_is_wrong_with_a_configuration_is_said_without_internals(text, words, capsys):
    Path("config.yaml").write_text(f"system: softmax-mixture\n{text}\n", "utf-8")
    assert words in refused(["train", "config.yaml"], capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--probe", "3"], "probe: expected keys and values, got 3"),
        (["--system", "low-rank", "--eigenvalues", "3"], "eigenvalues: expected a list, got 3"),
        (["--system", "linear", "--features", "x"], "features: expected a whole number or null, g"),
    ],
)
def test_kinds_of_values_are_named_in_words(arguments, words, capsys):
    assert words in refused(["train", *arguments], capsys)


def test_a_misspelt_key_of_a_specification_is_named_before_the_missing_one(capsys):
    Path("spec.json").write_text('{"system": "mixture", "direction": 3}', "utf-8")
    message = refused(["predict", "spec.json"], capsys)
    assert "direction: no such key; did you mean directions?" in message


def test_the_help_names_the_figures(capsys):
    with pytest.raises(SystemExit):
        main(["figures", "--help"])
    text = "".join(capsys.readouterr().out.split())
    for name in ("vector-maps", "split-losses", "phase-diagram"):
        assert name in text


# Of the argument parser and of Python, which say nothing to who types a command.
INTERNALS = re.compile(
    r"<class|typing|Literal|NoneType|Namespace|Traceback|Union|Subtypes|Errno|invalid choice"
    r"|invalid \w+ value|type: |\b(int|str|float|bool)\b"
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_no_internals(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert not INTERNALS.findall(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ensemble", "--seeds", "x"], "seeds: expected a whole number, got 'x'"),
        (["ensemble", "--seeds"], "seeds: expected a value, got none"),
        (["export"], "run: expected a value, got none"),
        (["export", ".", "--format", "x"], "format: expected one of 'csv', 'npz', 'parquet', got"),
        (["figures", "--columns", "3"], "columns: expected one of 1, 2, got 3"),
        (["predict", "nowhere"], "(No such file or directory), got"),
        (["train", "--config", "nowhere"], "got 'nowhere' (No such file or directory)"),
        (
            ["train", "--system=two-layer-mixture", "--second_layer=x"],
            "second_layer: expected a list of numbers or a list of lists of numbers, got x",
        ),
    ],
)
def test_refusals_have_no_internals(arguments, told, capsys):
    message = refused(arguments, capsys)
    assert told in message
    assert not INTERNALS.findall(message)


def test_an_interrupt_and_what_is_too_large_end_in_one_line(monkeypatch, capsys):
    """What torch raises without a type of its own is told; what is unknown is not hidden."""
    for raised, status, told in [
        (KeyboardInterrupt("kept"), 130, "interrupted; kept"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory: Def"),
        (RuntimeError("value cannot be converted without overflow"), 1, "a number is beyond"),
    ]:

        def command(arguments, raised=raised):
            raise raised

        monkeypatch.setitem(cli.COMMANDS, "check", command)
        assert main(["check"]) == status
        message = capsys.readouterr().err
        assert told in message
        assert message.count("\n") == 1
    monkeypatch.setitem(cli.COMMANDS, "check", lambda arguments: exec("raise RuntimeError('x')"))
    with pytest.raises(RuntimeError, match="x"):
        main(["check"])


def test_a_name_that_the_terminal_cannot_write_and_a_warning_are_told(empty_folder):
    """Half a record at the end of a file in a folder whose name is no text."""
    folder = Path("\udcff é")
    folder.mkdir()
    file = RecordFile(folder / "records.jsonl")
    file.write(Record(0))
    file.close()
    os.truncate(folder / "records.jsonl", file.offset - 1)
    for command in ("export", "report"):
        done = subprocess.run(
            [sys.executable, "-m", "spectrain", command, str(folder)],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )
        assert done.returncode == 0, done.stderr
        assert b"\\udcff" in done.stdout
        assert b"spectrain: warning: " in done.stderr
        assert b"record_file.py" not in done.stderr


def test_a_pipe_is_not_replaced_by_an_export(empty_folder, capsys):
    RecordFile(Path("records.jsonl")).close()
    os.mkfifo("pipe")
    assert "output: expected a new file" in refused(["export", ".", "--output", "pipe"], capsys)
    assert Path("pipe").is_fifo()
