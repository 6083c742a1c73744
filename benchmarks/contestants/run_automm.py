"""AutoGluon's AutoMM: `MultiModalPredictor` with its defaults and this encoder, until 80 % of the budget."""

import pandas as pd
import torch
from autogluon.multimodal import MultiModalPredictor
from protocol import Answers, labels_of, read_job, texts_of


def main() -> None:
    job = read_job()
    answers = Answers(job)
    torch.set_num_threads(job.threads)
    table = pd.DataFrame(texts_of(job.train, job.columns), columns=list(job.columns))
    table["label"] = labels_of(job.train)
    metric = "accuracy" if job.metric == "accuracy" else "f1_macro"
    predictor = MultiModalPredictor(label="label", eval_metric=metric, path=f"{job.folder}/model", verbosity=0)
    predictor.fit(
        table,
        hyperparameters={
            "model.names": ["hf_text"],
            "model.hf_text.checkpoint_name": job.encoder,
            "env.num_workers": 0,
            "env.num_gpus": 0,
        },
        time_limit=answers.left - 0.2 * 60 * job.minutes,
        seed=job.seed,
    )
    new = pd.DataFrame(texts_of(job.test, job.columns), columns=list(job.columns))
    answers.give(lambda: list(predictor.predict(new, as_pandas=False)))


if __name__ == "__main__":
    main()
