"""Times ASSFT's query against a plain inference pass over the same scans, and measures its memory.

python benchmarks/query_pass.py --dataset_dir COHORT --threads 2
"""

from __future__ import annotations

import resource
import tempfile
import time

import fire
import torch
from monai.bundle import ConfigWorkflow

from common.commands.bundles import find_bundle
from common.networks import load_pretrained


def main(
    dataset_dir: str, query: str = "assft", pretrained: str | None = None, scans: int | None = None, threads: int = 2
) -> None:
    """Prints seconds and their ratio, and the memory that scans after the first one took in addition.

    Args:
        dataset_dir: Folder of a cohort.
        query: Name of the query strategy.
        pretrained: File of weights for the bundle's Swin UNETR; by default they are random.
        scans: Number of training scans; by default all.
        threads: Number of CPU threads.
    """
    torch.set_num_threads(threads)
    bundle = find_bundle("assft_adapt")
    with tempfile.TemporaryDirectory() as folder:
        flow = ConfigWorkflow(
            config_file=str(bundle / "configs" / "query.json"),
            logging_file=str(bundle / "configs" / "logging.conf"),
            bundle_root=str(bundle),
            dataset_dir=dataset_dir,
            output_dir=folder,
            query=query,
            device="cpu",
        )
        torch.manual_seed(0)
        pool = flow.parser.get_parsed_content("pool")
        if pretrained:
            load_pretrained(pool.network, pretrained)
        pool.network.eval()
        plain = queried = 0.0
        first = 0
        number = min(scans or len(pool.dataset), len(pool.dataset))
        for position in range(number):
            start = time.perf_counter()
            image = pool.dataset[position]["image"]
            with torch.no_grad():
                pool.inferer(image.as_tensor()[None], pool.network)
            plain += time.perf_counter() - start
            start = time.perf_counter()
            pool.assess(pool.dataset[position]["image"])
            queried += time.perf_counter() - start
            first = first or _memory()
    print(f"{number} scans, {threads} thread(s), window {pool.inferer.window}, {pool.inferer.precision}")
    print(f"plain pass     {plain:8.1f} s")
    print(f"query {query:<8} {queried:8.1f} s")
    print(f"ratio          {queried / plain:8.2f}")
    print(f"memory         {_memory():8.0f} MB at most, {_memory() - first:.0f} MB of them after the first scan")


def _memory() -> float:
    """The most memory that this process has used, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    fire.Fire(main)
