package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"shellagent/targets"
)

// completeAddress offers sources and targets of the client's configuration for
// [SOURCE] TARGET and SOURCE@TARGET.
func completeAddress(s *surroundings, r *reach) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		switch {
		case len(args) == 0:
			if source, _, found := strings.Cut(typed, "@"); found {
				for _, name := range config.Names() {
					words = append(words, source+"@"+name)
				}
				break
			}
			words = append(config.Names(), config.SourceNames()...)
		case len(args) == 1 && !config.Has(args[0]) && !strings.Contains(args[0], "@"):
			words = config.Names()
		}
		return startingWith(words, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func completeTarget(s *surroundings, r *reach) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return startingWith(config.Names(), typed), cobra.ShellCompDirectiveNoFileComp
	}
}

func startingWith(words []string, typed string) []string {
	var fit []string
	for _, word := range words {
		if strings.HasPrefix(word, typed) {
			fit = append(fit, word)
		}
	}
	return fit
}

// completeTargets is completeAddress with lists: what stands behind the last comma
// is completed to a target or a group.
func completeTargets(s *surroundings, r *reach) cobra.CompletionFunc {
	one := completeAddress(s, r)
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		config, err := targets.Load(targets.DefaultPaths(s.getenv), r.config)
		second := len(args) == 1 && err == nil && !config.Has(args[0]) && !targets.IsList(args[0]) && !strings.Contains(args[0], "@")
		if err != nil || len(args) > 0 && !second {
			return one(c, args, typed)
		}
		before, last := typed[:strings.LastIndex(typed, ",")+1], typed[strings.LastIndex(typed, ",")+1:]
		if source, _, given := strings.Cut(last, "@"); given && source != "" {
			before, last = before+source+"@", last[len(source)+1:]
		}
		words := config.Names()
		if before == "" && !second {
			words = append(words, config.SourceNames()...)
		}
		for _, group := range config.GroupNames() {
			words = append(words, "@"+group)
		}
		fit := startingWith(words, last)
		for i := range fit {
			fit[i] = before + fit[i]
		}
		return fit, cobra.ShellCompDirectiveNoFileComp
	}
}
