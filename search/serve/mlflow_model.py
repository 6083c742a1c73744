"""The MLflow model of an exported folder. MLflow copies this file into the model, and runs it when the model is loaded.

So nothing is pickled, and nothing else imports this module.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd  # type: ignore[import-untyped]  # its stubs are a separate package
from mlflow.pyfunc import PythonModel  # type: ignore[attr-defined]  # documented there, but not exported in its types

from search.serve.register import answers_in_table


class ExportedModel(PythonModel):
    """Answers for the rows of a table, as `transfersweep predict` does."""

    def load_context(self, context: Any) -> None:
        """Load the exported folder of the model."""
        from search.export.classifier import Classifier
        from search.export.facts import read_facts

        folder = Path(context.artifacts["model"])
        self._facts = read_facts(folder)
        self._classifier = Classifier.load(folder, self._facts)

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return one row of answers for each row."""
        return answers_in_table(model_input, self._facts, self._classifier)


mlflow.models.set_model(ExportedModel())
