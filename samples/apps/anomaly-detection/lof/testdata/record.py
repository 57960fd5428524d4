# Records what scikit-learn says of values, for the tests of package lof:
#   python3 -m venv lof && lof/bin/pip install scikit-learn==1.9.1
#   lof/bin/python record.py > recorded.json
import json
import random

import numpy
import sklearn
from sklearn.neighbors import LocalOutlierFactor


def judge(usual, value, neighbors, contamination):
    """As upstream's application: the value is put to the usual ones."""
    data = numpy.array(usual + [value]).reshape(-1, 1)
    model = LocalOutlierFactor(n_neighbors=neighbors, contamination=contamination)
    labels = model.fit_predict(data)
    factors = -model.negative_outlier_factor_
    return {"value": value, "outlier": bool(labels[-1] == -1), "factor": float(factors[-1]), "offset": float(model.offset_)}, factors


def case(name, usual, values, neighbors=2, contamination=0.1, ties=False):
    judged = [judge(usual, v, neighbors, contamination)[0] for v in values]
    result = {"name": name, "neighbors": neighbors, "contamination": contamination, "ties": ties, "usual": usual, "judged": judged}
    if not ties:
        result["factors"] = [float(f) for f in judge(usual, values[0], neighbors, contamination)[1]]
    return result


rnd = random.Random(1)
whole = [rnd.randint(70, 80) for _ in range(100)]
noise = [round(rnd.gauss(20, 3), 6) for _ in range(120)]
clusters = [round(rnd.gauss(c, 0.5), 6) for c in (10, 30) for _ in range(40)]
cases = [
    case("whole numbers from 70 to 80", whole, list(range(60, 96)) + [75.5, 1e6, -1e6], ties=True),
    case("each whole number three times", [v for v in range(70, 81) for _ in range(3)], list(range(60, 96)), ties=True),
    case("some of them once", whole + [60, 61, 90], [60, 61, 62, 75, 89, 90, 91], ties=True),
    case("noise", noise, [19.123457, 20.000001, 26.5, 29.987654, 35.1, 5.05]),
    case("noise, more neighbours", noise, [19.123457, 20.000001, 26.5, 29.987654, 35.1, 5.05], neighbors=10),
    case("noise, less contamination", noise, [19.123457, 26.5, 29.987654, 35.1], contamination=0.01),
    case("two clusters", clusters, [10.1, 20.3, 30.2, 28.4, 33.3], neighbors=5),
    case("few values", [1.0, 2.5, 4.1], [1.7, 100.0]),
    case("fewer values than neighbours", [1.0, 2.5, 4.1], [1.7, 100.0], neighbors=20),
]
print('{"scikit-learn": "%s", "cases": [' % sklearn.__version__)
print(",\n".join(json.dumps(c) for c in cases))
print("]}")
