"""The MLflow page of a cluster, shown on this machine."""

from search.jobs.remote import Cluster
from search.jobs.tunnel import open_tunnel
from search.show.mlflow_page import answers, say, show_view
from trainable.errors import ConfigError


def show_page_of_cluster(cluster: Cluster, name: str | None, port: int, browser: bool) -> int:
    """Serve the page of the database in the cluster's storage on its head, and forward it here, until Ctrl-C.

    Args:
        cluster: is up.
        name: the sweep to show; None: the one with the newest view.
        port: on this machine and on the head.
        browser: whether to open the page in a browser, if this machine has a screen.

    Returns:
        The exit code.

    Raises:
        ConfigError: if there is no such sweep, no database, or the page cannot be served, or the connection breaks.
    """
    if not cluster.has(name or "mlflow.db"):
        missing = f"no sweep {name}" if name else "no mlflow.db: submit a sweep first"
        raise ConfigError(f"{cluster.storage} of the cluster has {missing}, or name another folder (--cluster-storage)")
    from search.tracking.experiment import saved_views  # imports MLflow, which takes seconds

    page = f"http://127.0.0.1:{port}"
    serve = f"transfersweep ui --storage {cluster.storage} --port {port} --no-browser"
    with open_tunnel(cluster.file, port, port, serve) as tunnel:
        try:
            if not answers(page, tunnel.process):
                raise tunnel.failed()
            show_view(page, next((view for view in saved_views(page) if name in (None, view.sweep)), None), browser)
            say("end it with Ctrl-C")
            tunnel.process.wait()
            raise tunnel.failed()
        except KeyboardInterrupt:
            return 0
