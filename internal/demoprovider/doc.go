// Package demoprovider holds stand-ins for Clerk, Auth0 and Better Auth: servers
// that answer as their APIs do, on accounts of any size whose users are generated as
// they are asked for. authsync dev --demo-provider serves them, so that everything
// that reads from a provider can be tried without an account; the tests of reading
// users run against the same code.
//
// The stand-ins are stricter than the real servers where these are not known well:
// what the providers' documentation does not allow is refused.
package demoprovider
