"""What Prometheus reads at `/monitoring/prometheus/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one server, in a registry of its own so that several servers can live in a process."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self):
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        labels = ("model", "entry", "status")
        self.requests = Counter(
            "serving_requests", "Requests by model, REST or gRPC, and code.", labels, registry=registry
        )
        self.seconds = Histogram(
            "serving_request_seconds",
            "Seconds from a request's header to its answer.",
            labels[:2],
            buckets=_SECONDS,
            registry=registry,
        )
        self.search_seconds = Histogram(
            "serving_search_seconds",
            "Seconds that the queries of a request took in the index.",
            ("model",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "serving_batch_images", "Images that were computed at once.", buckets=_IMAGES, registry=registry
        )
        self.queued_images = Gauge("serving_queued_images", "Images that wait.", registry=registry)
        self.pending_bytes = Gauge("serving_pending_bytes", "Sum of the bodies in memory.", registry=registry)
        self.available = Gauge(
            "serving_model_available", "1 for versions that answer.", ("model", "version"), registry=registry
        )
        self.load_failures = Counter(
            "serving_load_failures", "Versions that could not be loaded.", ("model",), registry=registry
        )

    def page(self) -> bytes:
        """The text that Prometheus reads, bytes."""
        return generate_latest(self.registry)
