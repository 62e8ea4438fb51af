"""Papers of two themes within one topic, and on other things, for tests of feedback."""

from tests.factories import make

MOLECULES = """
    Message passing over atoms and bonds predicts the energies of organic molecules
    Drug candidates are screened by their binding affinity to a protein
    Chemical reactions are modelled as edits of the bonds of a compound
    Labels from quantum chemistry are expensive for large molecules
    The toxicity of a compound follows from its functional groups
    Forces on atoms must turn with the conformer when it is rotated
    Solubility and lipophilicity are regressed from the structure of a drug
    Ligands dock into the pocket of an enzyme
    Retrosynthesis plans the steps from reagents to a target molecule
    Crystal lattices are periodic, so atoms interact across the cell
    Assays of potency are noisy and few compounds were ever tested
    Stereochemistry is lost where chirality is not encoded in the bonds
    Polymers are described by their monomers and by how these repeat
"""
ROADS = """
    Sensors on highways record the speed of vehicles every five minutes
    Congestion spreads along the segments of a road during rush hour
    Travel time between two intersections is forecast an hour ahead
    Stations of buses and the metro are the stops of a transit schedule
    Demand for taxis in a city varies with weather and holidays
    Signals at junctions are timed by the flow of cars that arrive
    Missing readings of loop detectors are imputed from upstream roads
    Accidents change which route drivers take through a city
    Trajectories of vehicles are matched to the streets of a map
    Bicycles are rebalanced between docks before commuters arrive
    Emissions of trucks depend on the slope of a road and on its speed
    Parking is found sooner when garages report their vacancies
    Ramps onto a highway are metered so that traffic does not stall
"""
OTHERS = {
    "bread": "dough sourdough yeast fermentation flour oven crust gluten",
    "galaxies": "redshift quasar telescope luminosity halo spectrum stellar dust",
    "geometry": "manifold curvature conjecture bundle cohomology lemma algebra homotopy",
    "grammar": "parser syntax treebank morphology discourse clause verb pronoun",
    "lasers": "photon cavity qubit decoherence pulse trap resonator cryostat",
    "markets": "portfolio volatility auction inflation bond trader liquidity dividend",
    "epidemics": "vaccine infection antibody hospital mortality immunity dose quarantine",
    "walking": "gripper locomotion torque actuator knee gait balance terrain",
}


def theme(sentences, first, count, **fields):
    """Make papers on graph neural networks of a theme. Any two of its thirteen share a sentence."""
    said = [line.strip() for line in sentences.strip().splitlines()]
    return [
        make.paper(
            f"Graph neural networks: {said[n].lower()}",
            f"We train graph neural networks. {said[(n + 1) % 13]}. {said[(n + 3) % 13]}. "
            f"{said[(n + 9) % 13]}.",
            **fields,
        )
        for n in range(first, first + count)
    ]


def others(count=4, **fields):
    """Make papers about other things, `count` on each. Any two share a few words at most."""
    for subject, words in OTHERS.items():
        w = words.split()
        for n in range(count):
            a, b, c, d = (w[(n + step) % 8] for step in (0, 1, 3, 6))
            make.paper(
                f"On {subject}: {a} and {b}",
                f"The {a} depends on the {b}, and we measure the {c} of a {d}.",
                **fields,
            )
