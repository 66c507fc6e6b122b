"""What lies where: the map from which a landscape is painted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geounet.cli.landscape.buildings import Building, place_buildings
from geounet.cli.landscape.land import (
    ROAD_WIDTH_M,
    Border,
    Parcel,
    divide_land,
    place_villages,
)
from geounet.cli.landscape.trees import (
    Trees,
    join_trees,
    plant_garden,
    plant_line,
    plant_orchard,
    plant_wood,
)
from geounet.cli.landscape.water import place_water


class Use(IntEnum):
    """What a parcel is for; everything from MEADOW on is chosen by chance."""

    WOOD = 0
    ORCHARD = 1
    GARDEN = 2
    MEADOW = 3
    PLOUGHED = 4
    WHEAT = 5
    GREEN_CEREAL = 6
    RAPE = 7
    MAIZE = 8
    STUBBLE = 9
    CLOVER = 10


@dataclass(frozen=True)
class Plan:
    """Everything on the land, in metres: x to the right, y down from the scene's corner.

    `uses[i]` says what parcel i is for. Buildings do not overlap each other, roads or water.
    """

    height_m: float
    width_m: float
    parcels: list[Parcel]
    uses: list[Use]
    borders: list[Border]
    water: BaseGeometry
    buildings: list[Building]
    trees: Trees


def make_plan(rng: np.random.Generator, height_m: float, width_m: float) -> Plan:
    """A village by a river among fields, woods and hedges."""
    villages = place_villages(rng, height_m, width_m)
    parcels, borders = divide_land(rng, height_m, width_m, villages)
    paths = [border.line for border in borders if border.kind in ROAD_WIDTH_M]
    water = place_water(rng, (height_m, width_m), villages, paths)
    borders = list(_fit_to_water(borders, water))
    roads = [b.line.buffer(ROAD_WIDTH_M[b.kind] / 2) for b in borders if b.kind in ROAD_WIDTH_M]
    obstacles = shapely.union_all([*roads, water.buffer(3)])
    buildings = place_buildings(rng, borders, villages, obstacles)
    uses = _choose_uses(rng, parcels)
    trees = join_trees(
        [
            *_plant_parcels(rng, parcels, uses),
            *_plant_borders(rng, borders),
            *_plant_banks(rng, water),
        ]
    )
    trees = trees.clear_of([b.footprint.buffer(1) for b in buildings], 0)
    trees = trees.clear_of([*roads, water], 0.35)
    return Plan(height_m, width_m, parcels, uses, borders, water, buildings, trees)


def _fit_to_water(borders: list[Border], water: BaseGeometry) -> Iterator[Border]:
    """The borders that cross the water or keep off it: no causeway, no end in the water."""
    bank, shore = water.buffer(4), water.buffer(6)
    shapely.prepare(bank)
    for border in borders:
        if not border.line.intersects(bank):
            yield border
        elif border.kind == "main" or border.line.intersection(water).length < 32:
            line = border.line
            if line.boundary.intersects(bank):
                parts = shapely.get_parts(line.difference(shore))
                line = max(parts, key=lambda part: part.length, default=line)
            if line.length > 60:
                yield replace(border, line=line)


def _choose_uses(rng: np.random.Generator, parcels: list[Parcel]) -> list[Use]:
    """One use per parcel: gardens in villages, woods side by side, crops anywhere else."""
    uses = [Use(use) for use in rng.integers(Use.MEADOW, len(Use), len(parcels))]
    woods = _choose_woods(rng, parcels)
    for i, parcel in enumerate(parcels):
        if parcel.village:
            uses[i] = Use.GARDEN
        elif i in woods:
            uses[i] = Use.WOOD
        elif rng.random() < 0.05:
            uses[i] = Use.ORCHARD
    return uses


def _choose_woods(rng: np.random.Generator, parcels: list[Parcel]) -> set[int]:
    """Neighbouring parcels outside villages that make up 17 % of the land."""
    fields = [i for i, parcel in enumerate(parcels) if not parcel.village]
    if not fields:
        return set()
    middles = np.array([parcels[i].shape.centroid.coords[0] for i in fields])
    core = middles[rng.integers(len(fields))]
    # Not simply a disc: a far field now and then comes before a near one
    farness = np.hypot(*(middles - core).T) * rng.lognormal(0, 0.5, len(fields))
    nearest = np.array(fields)[np.argsort(farness)]
    areas = np.array([parcels[i].shape.area for i in nearest])
    wanted = 0.17 * sum(parcel.shape.area for parcel in parcels)
    return set(nearest[np.cumsum(areas) - areas / 2 < wanted].tolist())


def _plant_parcels(
    rng: np.random.Generator, parcels: list[Parcel], uses: list[Use]
) -> Iterator[Trees]:
    for parcel, use in zip(parcels, uses, strict=True):
        if use is Use.WOOD:
            yield plant_wood(rng, parcel.shape.buffer(-2.5))
        elif use is Use.ORCHARD:
            yield plant_orchard(rng, parcel.shape, parcel.angle)
        elif use is Use.GARDEN:
            yield plant_garden(rng, parcel.shape, 9.0)
        elif use is Use.MEADOW:
            yield plant_garden(rng, parcel.shape, 45.0)


def _plant_borders(rng: np.random.Generator, borders: list[Border]) -> Iterator[Trees]:
    """Hedges between fields, and trees along one side of every road."""
    for border in borders:
        if border.kind == "hedge":
            yield plant_line(rng, border.line, 1.7, 0.2)
        elif border.kind != "open":
            away = rng.choice([-1, 1]) * (ROAD_WIDTH_M[border.kind] / 2 + 3)
            for verge in shapely.get_parts(border.line.offset_curve(away)):
                yield plant_line(rng, verge, rng.choice([5.0, 9.0]), 0.6)


def _plant_banks(rng: np.random.Generator, water: BaseGeometry) -> Iterator[Trees]:
    for bank in shapely.get_parts(water.buffer(3).boundary):
        yield plant_line(rng, bank, 3.2, 0.62)
