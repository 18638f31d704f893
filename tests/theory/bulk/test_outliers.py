from spectrain.theory.bulk.exterior import exterior
from spectrain.theory.bulk.outliers import count_above, find_outliers


def test_outliers_beyond_a_point_are_counted_without_being_found(xor, softmax):
    """As many eigenvalues of K(lam) are positive as outliers lie above lam, outside the bulk."""
    for law in (xor().theory(200).law("hessian", (0,)), softmax().theory(200).law("hessian", (0,))):
        side = exterior(law)
        places = [one.value for one in find_outliers(side)]
        assert places
        for lam in (1.001 * side.edge, *(0.999 * place for place in places), 2 * places[0]):
            expected = sum(place > lam for place in places)
            assert count_above(law, law.weights, lam) == expected
        assert count_above(law, law.weights, 0.9 * side.edge) is None
