/* baresip leaves loopback out of its ICE candidates, and tests live there. Loaded before its library, this turns the question round: loopback
 * is where media may go, and nothing else is. */
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

bool sa_is_loopback(const struct sockaddr_in *sa);

/* libre's `struct sa` begins with the socket address. */
bool sa_is_loopback(const struct sockaddr_in *sa)
{
	return sa->sin_family != AF_INET || ntohl(sa->sin_addr.s_addr) >> 24 != 127;
}
