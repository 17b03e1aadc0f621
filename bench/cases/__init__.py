"""What is measured: each case gets a running peer and returns figures."""

from bench.cases import grpc, http, idle, layer4, reload, tls
from bench.cases.case import Case, Figures, Running

__all__ = ["CASES", "Case", "Figures", "Running"]

CASES: tuple[Case, ...] = (*http.CASES, *tls.CASES, *grpc.CASES, *idle.CASES, reload.CASE, *layer4.CASES)
