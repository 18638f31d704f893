#!/usr/bin/env bash
# Guess: PCA(whiten=True) with all components gives features of variance 1; the number of samples
# decides how well the components are estimated, not to how many digits they are computed.
#
# What happens (scikit-learn 1.9.1): with ten samples for each feature and more (and up to 1000
# features) the default solver goes from the singular values of the data to the eigenvalues of
# their covariance, formed in the precision of the data, and half of the digits are gone. In
# float32, with scales that span more than three decades, the smallest variances are noise or cut
# off at 0, and what is whitened by them has a variance of hundreds of thousands. One sample fewer,
# or svd_solver="full", is right. Nothing is said.
#
# Why it matters: activations and embeddings come in float32 with spectra like this one; whitened
# features go into probes, distances and estimates of intrinsic dimension. More data break it.
#
# Source: singular values in float64 decide; _fit in sklearn/decomposition/_pca.py chooses
# ("covariance_eigh"), https://github.com/scikit-learn/scikit-learn/pull/27491.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'scikit-learn==1.9.1' 'numpy==2.4.6' 'scipy==1.17.1'
"$folder/env/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.decomposition import PCA

FEATURES = 40
rng = np.random.default_rng(0)
axes = np.linalg.qr(rng.standard_normal((FEATURES, FEATURES)))[0]
scales = np.logspace(0, -5, FEATURES)


def fit(samples, **options):
    """Whitened variances, and those of the components over the right ones."""
    data = (rng.standard_normal((samples, FEATURES)) * scales @ axes.T).astype(np.float32)
    exact = data.astype(np.float64)
    exact -= exact.mean(0)
    right = np.linalg.svd(exact, compute_uv=False) ** 2 / (samples - 1)
    model = PCA(whiten=True, **options).fit(data)
    white = model.transform(data).astype(np.float64).var(0, ddof=1)
    return white, model.explained_variance_ / right


print("scikit-learn", sklearn.__version__, "numpy", np.__version__)
few, many, full = fit(399), fit(400), fit(400, svd_solver="full")
for name, (white, ratio) in {"399": few, "400": many, "400, full": full}.items():
    print(f"{name} samples: variances over the right ones {ratio[::13].round(4).tolist()}")
    print(f"{name} samples: whitened variances from {white.min():.4g} to {white.max():.4g}")
for white, ratio in (few, full):
    assert abs(white - 1).max() < 0.01 and abs(ratio - 1).max() < 0.01
white, ratio = many
assert white.max() > 100 and ratio.min() < 0.1, "this has changed"
PYTHON
