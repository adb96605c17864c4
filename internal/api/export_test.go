package api

// Routes lists the routes as "METHOD /path", the path as it stands behind Prefix.
func (a *API) Routes() []string {
	var list []string
	for _, route := range a.routes() {
		list = append(list, route.method+" "+route.path)
	}
	return list
}

// RoleOf gives the least role that may make each call, by the calls of Routes.
func (a *API) RoleOf() map[string]string {
	roles := map[string]string{}
	for _, route := range a.routes() {
		roles[route.method+" "+route.path] = string(route.role)
	}
	return roles
}

// Statuses gives the status of each code.
func Statuses() map[string]int {
	all := map[string]int{}
	for code, status := range statuses {
		all[string(code)] = status
	}
	return all
}

// Previewing counts a preview of a project in, as if it were at work.
func (a *API) Previewing(projectID string) (leave func(), ok bool) {
	return a.previews.enter(projectID)
}
