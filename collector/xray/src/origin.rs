//! `origin`: the kind of AWS resource that runs the service, from the resource's attributes.

use crate::attributes::{List, text};

/// Names are those of the X-Ray Developer Guide, "Segment fields". None when the cloud is not AWS or the platform
/// has no such name.
pub(crate) fn origin(resource: List<'_>) -> Option<&'static str> {
    if resource
        .get("cloud.provider")
        .is_some_and(|provider| text(provider) != "aws")
    {
        return None;
    }
    match resource.text("cloud.platform") {
        "aws_app_runner" => Some("AWS::AppRunner::Service"),
        "aws_eks" => Some("AWS::EKS::Container"),
        "aws_elastic_beanstalk" => Some("AWS::ElasticBeanstalk::Environment"),
        "aws_ec2" => Some("AWS::EC2::Instance"),
        "aws_ecs" => Some(match resource.text("aws.ecs.launchtype") {
            "ec2" => "AWS::ECS::EC2",
            "fargate" => "AWS::ECS::Fargate",
            _ => "AWS::ECS::Container",
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::attributes::List;
    use crate::tests::attributes;

    fn origin(list: &[(&'static str, &'static str)]) -> Option<&'static str> {
        super::origin(List::new(&attributes(list)))
    }

    #[test]
    fn the_platform_gives_the_origin() {
        for (platform, expected) in [
            ("aws_app_runner", Some("AWS::AppRunner::Service")),
            ("aws_eks", Some("AWS::EKS::Container")),
            (
                "aws_elastic_beanstalk",
                Some("AWS::ElasticBeanstalk::Environment"),
            ),
            ("aws_ec2", Some("AWS::EC2::Instance")),
            ("aws_ecs", Some("AWS::ECS::Container")),
            ("aws_lambda", None),
            ("", None),
        ] {
            assert_eq!(origin(&[("cloud.platform", platform)]), expected, "{platform}");
            let elsewhere = [("cloud.provider", "gcp"), ("cloud.platform", platform)];
            assert_eq!(origin(&elsewhere), None);
        }
        for (launch_type, expected) in [("ec2", "AWS::ECS::EC2"), ("fargate", "AWS::ECS::Fargate")] {
            let resource = [("cloud.platform", "aws_ecs"), ("aws.ecs.launchtype", launch_type)];
            assert_eq!(origin(&resource), Some(expected));
        }
        // A cluster's name does not make an instance a container.
        let instance = [("cloud.platform", "aws_ec2"), ("k8s.cluster.name", "production")];
        assert_eq!(origin(&instance), Some("AWS::EC2::Instance"));
    }
}
