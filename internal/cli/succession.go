package cli

import "shellagent/jwtauth"

// learn takes what a stream announces of the agent's next host key, and tells
// the person of what is new.
func (c *contact) learn(s *jwtauth.Succession) jwtauth.PublicKey {
	lesson, err := c.peer.Learn(s)
	if err != nil {
		c.ui.warn("%v", err)
	}
	switch pinned := c.target.Fingerprint; {
	case lesson.Withdrawn:
		c.ui.note("%s does not announce another host key any more: that one is forgotten", c.target.BaseURL)
	case lesson.Recorded && pinned != "" && !lesson.Next.MatchesFingerprint(pinned):
		c.ui.warn("the host key of %s will be %s: change the fingerprint that is given for it, %s, when it is", c.target.BaseURL, lesson.Next.Thumbprint(), pinned)
	case lesson.Recorded:
		c.ui.note("%s will have another host key, as the one that is known says: %s is known beside it", c.target.BaseURL, lesson.Next.Thumbprint())
	}
	return lesson.Next
}
