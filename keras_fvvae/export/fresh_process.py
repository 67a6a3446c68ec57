"""A program that runs an exported model where it will live: in a process without this library and without Keras.

    python -I fresh_process.py FORMAT MODEL INPUTS.npz OUTPUTS.npz BATCH...

INPUTS holds arrays by `CASE/INPUT`; OUTPUTS gets those of every case by `CASE/OUTPUT`, and the median of the seconds
that a batch of BATCH examples of the first case takes as `seconds/BATCH`. Only the standard library, NumPy and the
runtime.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

# Calls that are timed, after one that is not; fewer where these take longer than the seconds.
_CALLS = 30
_SECONDS = 2.0


def main(format: str, model: str, inputs: str, outputs: str, *batches: str) -> None:
    import numpy as np

    if format != "savedmodel":
        sys.modules["tensorflow"] = None  # type: ignore[assignment]
    run = RUNTIMES[format](model)
    cases: dict[str, dict[str, Any]] = {}
    for key, array in np.load(inputs).items():
        case, _, name = key.partition("/")
        cases.setdefault(case, {})[name] = array
    results = {f"{case}/{name}": value for case, given in cases.items() for name, value in run(given).items()}
    seconds = measure(run, next(iter(cases.values())), map(int, batches))
    results |= {f"seconds/{batch}": np.array(value) for batch, value in seconds.items()}
    np.savez(outputs, **results)  # type: ignore[arg-type]  # NumPy's stubs count its own option among them


def measure(run: Callable[[dict[str, Any]], Any], given: dict[str, Any], batches: Iterable[int]) -> dict[int, float]:
    """Median seconds of a call by its number of examples."""
    result = {}
    for batch in batches:
        inputs = {name: array[:batch] for name, array in given.items()}
        run(inputs)
        seconds: list[float] = []
        while len(seconds) < _CALLS and sum(seconds) < _SECONDS:
            start = time.perf_counter()
            run(inputs)
            seconds.append(time.perf_counter() - start)
        result[batch] = statistics.median(seconds)
    return result


def _saved_model(path: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)

    def run(given):  # it holds what was loaded, which would be freed
        outputs = loaded.signatures["classify_pixels"](**{name: tf.constant(array) for name, array in given.items()})
        return {name: value.numpy() for name, value in outputs.items() if value.dtype == tf.float32}

    return run


def _onnx(path: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda given: dict(zip(names, session.run(names, given), strict=True))


def _litert(path: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    import os

    from ai_edge_litert.interpreter import Interpreter

    # As many threads as the other runtimes take by themselves.
    runner = Interpreter(path, num_threads=len(os.sched_getaffinity(0))).get_signature_runner()
    return lambda given: runner(**given)


def _openvino(path: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it tells its maker of every use
    import openvino

    # In float32, as all others: of itself it takes bfloat16 where the CPU has it.
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [output.get_any_name() for output in model.outputs]

    def run(given):
        outputs = model(given)
        return {name: outputs[name] for name in names}

    return run


# By format: from a model's path, a function from arrays by input to arrays by output.
RUNTIMES = {"savedmodel": _saved_model, "onnx": _onnx, "litert": _litert, "openvino": _openvino}

if __name__ == "__main__":
    for barred in ("keras_fvvae", "keras"):
        sys.modules[barred] = None  # type: ignore[assignment]
    main(*sys.argv[1:])
