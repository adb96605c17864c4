package api

// Routes lists the routes as "METHOD /path", the path as it stands behind Prefix.
func (a *API) Routes() []string {
	var list []string
	for _, route := range a.routes() {
		list = append(list, route.method+" "+route.path)
	}
	return list
}

// Statuses gives the status of each code.
func Statuses() map[string]int {
	all := map[string]int{}
	for code, status := range statuses {
		all[string(code)] = status
	}
	return all
}
