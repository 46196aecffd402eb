"""Makes the graphs of this folder, as a data scientist would export them, and `scores.json`: what scikit-learn says of the
same windows. `pip install scikit-learn skl2onnx; python make.py`

Made with scikit-learn 1.9.1 and skl2onnx 1.20.0; the tests need neither.
"""

import json
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestRegressor
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

HERE = Path(__file__).parent
WINDOW, TAGS = 3, 2
rng = np.random.default_rng(7)
course = 50 + 3 * np.sin(np.arange(400) / 9) + rng.normal(0, 0.6, 400)
rows = np.stack([course, 10 + 0.2 * (course - 50) + rng.normal(0, 0.1, 400)], axis=1)
normal = np.stack([rows[at : at + WINDOW].reshape(-1) for at in range(len(rows) - WINDOW)]).astype(np.float32)
probe = normal[::50].copy()
probe[-4:, 1::2] += np.array([[0.4], [-0.6], [1.5], [3.0]], np.float32)  # the flow goes its own way


def made(estimator, data=normal, target=None):
    return make_pipeline(StandardScaler(), estimator).fit(data, target)


MODELS = {
    "one_class_svm": (made(OneClassSVM(nu=0.02)), {}, lambda m, x: m.decision_function(x)),
    "isolation_forest": (
        made(IsolationForest(n_estimators=30, max_samples=32, random_state=0)), {}, lambda m, x: m.decision_function(x)
    ),
    "local_outlier_factor": (
        made(LocalOutlierFactor(n_neighbors=10, novelty=True), normal[::4]), {}, lambda m, x: m.decision_function(x)
    ),
    "gaussian_mixture": (
        made(GaussianMixture(3, random_state=0)), {"score_samples": True}, lambda m, x: m.score_samples(x)
    ),
    "random_forest": (
        made(RandomForestRegressor(20, max_depth=4, random_state=0), target=np.abs(normal[:, 0] - 50)),
        {}, lambda m, x: m.predict(x),
    ),
    "network": (
        made(MLPRegressor(hidden_layer_sizes=(8, 4), max_iter=2000, random_state=0), target=np.abs(normal[:, 0] - 50)),
        {}, lambda m, x: m.predict(x),
    ),
    "components": (made(PCA(2)), {}, lambda m, x: m.transform(x)[:, 0]),
}  # fmt: skip

said = {"windows": probe.tolist(), "scores": {}}
for name, (model, options, score) in MODELS.items():
    last = model.steps[-1][1]
    exported = to_onnx(
        model, normal[:1], options={id(last): options} if options else None, target_opset={"": 17, "ai.onnx.ml": 3}
    )
    (HERE / f"{name}.onnx").write_bytes(exported.SerializeToString())
    said["scores"][name] = np.asarray(score(model, probe), float).round(6).tolist()
    print(name, len(exported.SerializeToString()), len(exported.graph.node), [o.name for o in exported.graph.output])
(HERE / "scores.json").write_text(json.dumps(said))
