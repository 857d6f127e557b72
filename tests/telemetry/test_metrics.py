import pytest

from prograde.telemetry.metrics import Family, Registry, Sample
from prograde.telemetry.process import collect_process, resident_memory_bytes


def test_counter_keeps_its_exact_name_and_escapes_label_values() -> None:
    registry = Registry()
    errors = registry.counter("rollout_reconcile_error", "Error occurring during the rollout", ("namespace", "name"))
    errors.inc("shop", 'c"art\n\\')
    errors.inc("shop", 'c"art\n\\', by=2)
    assert registry.render().decode() == (
        "# HELP rollout_reconcile_error Error occurring during the rollout\n"
        "# TYPE rollout_reconcile_error counter\n"
        'rollout_reconcile_error{namespace="shop",name="c\\"art\\n\\\\"} 3\n'
    )


def test_counter_refuses_to_go_down() -> None:
    counter = Registry().counter("x", "")
    with pytest.raises(AssertionError, match="never goes down"):
        counter.inc(by=-1)


def test_gauge_is_set_and_read_back() -> None:
    gauge = Registry().gauge("workqueue_depth", "Depth.", ("name",))
    gauge.set(3, "Rollouts")
    gauge.set(1.5, "Rollouts")
    assert gauge.value("Rollouts") == 1.5
    assert gauge.value("Services") == 0


def test_histogram_counts_at_or_below_each_bound_and_writes_cumulative_buckets() -> None:
    registry = Registry()
    histogram = registry.histogram("rollout_reconcile", "Rollout reconciliation performance.", (0.01, 0.15, 1))
    for value in (0.01, 0.02, 0.15, 7):
        histogram.observe(value)
    assert registry.render().decode().splitlines()[2:] == [
        'rollout_reconcile_bucket{le="0.01"} 1',
        'rollout_reconcile_bucket{le="0.15"} 3',
        'rollout_reconcile_bucket{le="1"} 3',
        'rollout_reconcile_bucket{le="+Inf"} 4',
        "rollout_reconcile_sum 7.18",
        "rollout_reconcile_count 4",
    ]
    assert (histogram.count(), histogram.sum()) == (4, pytest.approx(7.18))


def test_discard_forgets_the_series_of_one_object_and_leaves_the_others() -> None:
    registry = Registry()
    counter = registry.counter("c", "", ("namespace", "name"))
    histogram = registry.histogram("h", "", (1,), ("namespace", "name"))
    for name in ("cart", "web"):
        counter.inc("shop", name)
        histogram.observe(0.5, "shop", name)
    registry.discard(lambda labels: labels.get("name") == "cart")
    assert (counter.value("shop", "cart"), counter.value("shop", "web")) == (0, 1)
    assert (histogram.count("shop", "cart"), histogram.count("shop", "web")) == (0, 1)


def test_collectors_run_at_every_scrape() -> None:
    registry = Registry()
    names = ["cart"]
    registry.collect_with(
        lambda: [
            Family("rollout_info", "Information about rollout.", "gauge", ("name",), [Sample((n,), 1) for n in names])
        ]
    )
    assert b'rollout_info{name="cart"} 1' in registry.render()
    names.clear()
    assert b"cart" not in registry.render()


def test_registering_a_name_twice_is_a_programming_error() -> None:
    registry = Registry()
    registry.counter("x", "")
    with pytest.raises(AssertionError, match="x is registered twice"):
        registry.gauge("x", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1e3, "1000"), (0.1, "0.1"), (float("inf"), "+Inf"), (1e20, "1e+20"), (-2, "-2")],
)
def test_numbers_are_written_as_prometheus_reads_them(value: float, text: str) -> None:
    registry = Registry()
    registry.gauge("g", "").set(value)
    assert registry.render().decode().splitlines()[-1] == f"g {text}"


def test_process_families_carry_the_usual_names() -> None:
    names = {family.name for family in collect_process()}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_info"} <= names
    assert resident_memory_bytes() > 1_000_000
