"""Drawings of the lessons, one module for each lesson that needs some.

A lesson's cell computes what is shown, from the lesson's own networks and layers; the functions here take
that and only draw it. What several lessons draw is in `segcourse.plotting`.
"""
