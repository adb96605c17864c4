package upkeep

// SelectToRescue is run by the tests of plans.
const SelectToRescue = selectToRescue
