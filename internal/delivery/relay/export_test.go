package relay

// SelectSubscribers is a statement that the tests of plans run.
const SelectSubscribers = selectSubscribers
