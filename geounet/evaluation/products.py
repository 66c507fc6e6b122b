"""What an evaluation writes beside its numbers: the report, and the polygons of errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from geounet.errors import UsageError
from geounet.evaluation.counting import Watcher
from geounet.evaluation.error_layer import ErrorLayer, open_error_layer
from geounet.evaluation.jobs import Job, Source
from geounet.evaluation.measures.family import Family
from geounet.evaluation.options import EvaluateOptions
from geounet.evaluation.outputs import check_outputs
from geounet.evaluation.reading import Legends
from geounet.evaluation.report.pictures import Images, picture_scene, picture_window
from geounet.evaluation.report.survey import Survey
from geounet.evaluation.results import Evaluation
from geounet.files import write_whole
from geounet.raster import open_scene, read_tags
from geounet.vector import check_vector_output

FIGURES = ("confusion", "reliability", "precision-recall", "scene-*", "window-*")
"""Names of the report's figures, which are `STEM-NAME.png` beside it."""

MODEL_TAG = "GEOUNET_MODEL"
"""Of a mask that predict has written: the names of its models."""


def check_products(pairs: Sequence[tuple[Source, Source]], options: EvaluateOptions) -> None:
    """Nothing, if all that is asked for may be written.

    Raises:
        UsageError: a file exists, or cannot be meant.
        InputError: the first of the scenes cannot be read.
    """
    inputs = [file for pair in pairs for file in pair]
    inputs += [*options.scores, *options.compare, *options.images, *options.model]
    inputs += [] if options.aoi is None else [options.aoi]
    outputs = (options.csv, options.report, options.errors)
    check_outputs(outputs, inputs, overwrite=options.overwrite)
    if options.errors is not None:
        with open_scene(pairs[0][0], allow_palette=True) as scene:
            crs = scene.grid.crs
        check_vector_output(Path(options.errors), crs, overwrite=options.overwrite)
    if options.report is None or not options.report_figures or options.overwrite:
        return
    report = Path(options.report)
    names = (f"{report.stem}-{name}.png" for name in FIGURES)
    if there := sorted(path for name in names for path in report.parent.glob(name)):
        raise UsageError(
            f"{there[0]} exists; replace figures with --overwrite, or name the report otherwise"
        )


@contextmanager
def open_products(
    jobs: Sequence[Job], how: Legends, families: Sequence[Family], options: EvaluateOptions
) -> Iterator[Products]:
    """What makes them while scenes are counted. Without `write`, nothing is left behind.

    Raises:
        UsageError: an output cannot be meant.
        InputError: an image cannot be shown.
        ResourceError: an output cannot be written.
    """
    images = Images(options.predict_options.bands)
    with ExitStack() as stack:
        survey = layer = None
        if options.report is not None:
            survey = Survey(how.classes)
            for job in jobs:
                images.check(job)
        if options.errors is not None:
            opened = open_error_layer(
                Path(options.errors), jobs, how.classes, overwrite=options.overwrite
            )
            layer = stack.enter_context(opened)
        yield Products(how, families, options, images, survey, layer)


@dataclass(frozen=True)
class Products:
    """What is made of the scenes beside numbers.

    Attributes:
        how: what labels and masks hold.
        families: of the numbers.
        options: what is wanted.
        images: behind the masks.
        survey: what the report shows; None without a report.
        layer: the polygons of errors; None without any.
    """

    how: Legends
    families: Sequence[Family]
    options: EvaluateOptions
    images: Images
    survey: Survey | None
    layer: ErrorLayer | None

    @property
    def watchers(self) -> list[Watcher]:
        """What is to see the pixels."""
        return [watcher for watcher in (self.survey, self.layer) if watcher is not None]

    def write(self, evaluation: Evaluation, jobs: Sequence[Job]) -> None:
        """Write all of it, each file whole or not at all.

        Raises:
            InputError: an image cannot be read.
            ResourceError: a file cannot be written.
        """
        if self.survey is not None and self.options.report is not None:
            self._write_report(self.survey, evaluation, jobs, Path(self.options.report))
        if self.layer is not None:
            self.layer.publish()

    def _write_report(
        self, survey: Survey, evaluation: Evaluation, jobs: Sequence[Job], path: Path
    ) -> None:
        from geounet.evaluation.report.sketchbook import Sketchbook  # bring matplotlib with them
        from geounet.evaluation.report.writing import Findings, write_report

        found = Findings(
            evaluation=evaluation,
            families=self.families,
            scenes=[(scene, picture_scene(scene, self.images)) for scene in survey.overviews],
            windows=[
                (window, picture_window(window, self.how, self.images)) for window in survey.windows
            ],
            models=list(filter(None, (read_tags(job.mask).get(MODEL_TAG) for job in jobs))),
            compared=[str(job.other) for job in jobs if job.other is not None],
        )
        book = Sketchbook(keeps=self.options.report_figures)
        page = write_report(found, book)
        for name, png in book.files.items():
            write_whole(path.with_name(f"{path.stem}-{name}.png"), png)
        write_whole(path, page.encode())
