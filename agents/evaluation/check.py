#!/usr/bin/env python3
"""Checks the evaluation's messages, pairs and attacks, and counts them. Run it from anywhere: python3 agents/evaluation/check.py

Knows the sample city's duty graph (graph/data) and nothing of models. Ends with 1 when anything is wrong.
"""
import collections
import datetime
import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
INTENTS = {"help", "complaint", "report", "inquiry", "suggestion", "praise", "emergency"}
SPANS = ("address", "place", "time", "people", "thing", "wish")
GAPS = {"address", "time", "facts"}


class Graph:
    """The duty graph of the sample city: who owes a category at a place and a time."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        read = lambda name: yaml.safe_load((folder / name).read_text(encoding="utf-8"))
        categories = read("city.yaml")["categories"]
        self.urgency = {category["id"]: category["urgency"] for category in categories}
        units = read("units.yaml")
        self.level = {unit["id"]: ["city", "district", "street"].index(unit["level"]) for unit in units["units"]}
        self.duties = units["duties"]
        places = read("places.yaml")
        self.inside = {place["id"]: place.get("in") for place in places["places"] + places["assets"]}

    def owes(self, category, node, at):
        """The unit that owes `category` at `node` (or anywhere) at the local time `at`: the narrowest duty wins."""
        at = datetime.datetime.fromisoformat(at)
        chain = []
        while node:
            chain.append(node)
            node = self.inside[node]
        best = None
        for duty in self.duties:
            if duty["category"] != category or ("in" in duty and duty["in"] not in chain):
                continue
            if "months" in duty and not within(at.month, duty["months"][0], duty["months"][1] + 1):
                continue
            if "hours" in duty and not within(at.hour, *duty["hours"]):
                continue
            near = -chain.index(duty["in"]) if "in" in duty else -9
            rank = (near, "hours" in duty, "months" in duty, self.level[duty["unit"]])
            if best is None or rank > best[0]:
                best = (rank, duty["unit"])
        return best[1] if best else None


def within(value, first, end):
    """Whether a value lies in [first, end), which may run over the end of the day or the year."""
    return first <= value < end if first < end else value >= first or value < end % 13 if end == 13 else value >= first or value < end
