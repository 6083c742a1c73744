"""AutoIntent (Alekseev et al., 2025), its preset `classic-light` with this encoder: 20 trials on frozen features."""

from pathlib import Path

import torch
import yaml
from autointent import Dataset, Pipeline
from autointent._presets import __file__ as presets
from protocol import Answers, joined, labels_of, read_job, texts_of


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    texts, names = joined(texts_of(job.train, job.columns)), labels_of(job.train)
    classes = sorted(set(names))
    rows = [{"utterance": text, "label": classes.index(name)} for text, name in zip(texts, names, strict=True)]
    preset = yaml.safe_load((Path(presets).parent / "classic-light.yaml").read_text(encoding="utf-8"))
    preset["embedder_config"] = {"model_name": job.encoder}
    pipeline = Pipeline.from_optimization_config({**preset, "seed": job.seed + 1})  # it must be above 0
    pipeline.fit(Dataset.from_dict({"train": rows}))
    new = joined(texts_of(job.test, job.columns))
    # It may say that a text has none of the intents; there is no such class here.
    answers.give(lambda: [classes[index or 0] for index in pipeline.predict(new)], last=True)


if __name__ == "__main__":
    main()
