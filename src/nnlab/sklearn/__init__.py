"""nnlab's multilayer perceptron as scikit-learn estimators."""

from nnlab.sklearn.classifier import MLPClassifier
from nnlab.sklearn.grid_search import StackedGridSearchCV
from nnlab.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "StackedGridSearchCV"]
