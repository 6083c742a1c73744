"""Image classification: one class for each image. Labels, loss and scores are those of texts; the inputs are pixels."""

from trainable.tasks.classification import Classification
from trainable.tasks.task import Head


class ImageClassification(Classification):
    """The task; see `trainable.tasks.task.Task` for its methods."""

    name = "image_classification"

    def head(self, names: tuple[str, ...]) -> Head:
        return Head(self.name, names, "single_label_classification", reads="image")


IMAGE_CLASSIFICATION = ImageClassification()
