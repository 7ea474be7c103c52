"""Where the sun stands: the low-precision formulas of the Astronomical Almanac (0.01 degrees, 1950-2050)."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

_EPOCH = datetime(2000, 1, 1, 12, tzinfo=UTC)


def sun_angles(
    longitude_deg: np.ndarray, latitude_deg: np.ndarray, time: datetime, delay_s: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the sun's zenith and azimuth.

    Parameters
    ----------
    longitude_deg, latitude_deg : numpy.ndarray
        Geographic positions in degrees.
    time : datetime
        Moment of observation (aware).
    delay_s : numpy.ndarray or float
        Seconds after ``time`` for each position.

    Returns
    -------
    tuple of numpy.ndarray
        Zenith (from the ellipsoid's normal, no refraction) and azimuth (from true north) in degrees.
    """
    days = (time - _EPOCH).total_seconds() / 86400.0 + np.asarray(delay_s, np.float64) / 86400.0
    mean_longitude = 280.460 + 0.9856474 * days
    anomaly = np.radians(357.528 + 0.9856003 * days)
    ecliptic = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2.0 * anomaly))
    obliquity = np.radians(23.439 - 4.0e-7 * days)
    right_ascension = np.arctan2(np.cos(obliquity) * np.sin(ecliptic), np.cos(ecliptic))
    declination = np.arcsin(np.sin(obliquity) * np.sin(ecliptic))
    sidereal = np.radians(280.46061837 + 360.98564736629 * days + longitude_deg)
    hour = sidereal - right_ascension
    latitude = np.radians(latitude_deg)
    east = -np.cos(declination) * np.sin(hour)
    north = np.cos(latitude) * np.sin(declination) - np.sin(latitude) * np.cos(declination) * np.cos(hour)
    up = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
    zenith = np.degrees(np.arctan2(np.hypot(east, north), up))
    return zenith, np.degrees(np.arctan2(east, north)) % 360.0


def earth_sun_factor(time: datetime) -> float:
    """Return the square of the mean over the actual Earth-Sun distance (``U`` of the product metadata)."""
    days = (time - _EPOCH).total_seconds() / 86400.0
    anomaly = np.radians(357.528 + 0.9856003 * days)
    distance = 1.00014 - 0.01671 * np.cos(anomaly) - 0.00014 * np.cos(2.0 * anomaly)
    return float(1.0 / distance**2)
